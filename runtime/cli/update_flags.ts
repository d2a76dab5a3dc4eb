// The flags of `belay update` as data: command_table.ts, which is read at every start, shows them, and
// commands/update_request.ts reads them.

/** A flag, and the field of `linux.resources` that it sets. */
export interface UpdateFlag {
  readonly name: string;
  /** What the help calls the value. */
  readonly value: string;
  readonly help: string;
  readonly field: readonly [group: string, member: string];
  /** A size, a 64-bit number, a 32-bit one, 0 or 1, or as it stands. */
  readonly kind: "bytes" | "number" | "small" | "switch" | "text";
}

/** runc's names; `cpu-burst` and `cpu-idle` are from runc 1.2. */
export const UPDATE_FLAGS: readonly UpdateFlag[] = [
  flag("blkio-weight", "N", "weight of block I/O, from 10 to 1000", "blockIO weight small"),
  flag("cpu-period", "US", "period of the CPU quota, in microseconds", "cpu period number"),
  flag("cpu-quota", "US", "CPU time in each period; -1: unlimited", "cpu quota number"),
  flag("cpu-burst", "US", "what may be saved of it for later", "cpu burst number"),
  flag("cpu-share", "N", "weight of CPU time beside others", "cpu shares number"),
  flag("cpu-rt-period", "US", "period of real-time tasks", "cpu realtimePeriod number"),
  flag("cpu-rt-runtime", "US", "their CPU time in each period", "cpu realtimeRuntime number"),
  flag("cpuset-cpus", "LIST", "CPUs to use: 0-3,7", "cpu cpus text"),
  flag("cpuset-mems", "LIST", "memory nodes to use", "cpu mems text"),
  flag("cpu-idle", "0|1", "1: run only when nobody else does", "cpu idle switch"),
  flag("memory", "BYTES", "memory: 64M; -1: unlimited", "memory limit bytes"),
  flag("memory-reservation", "BYTES", "soft limit", "memory reservation bytes"),
  flag("memory-swap", "BYTES", "memory and swap; -1: unlimited", "memory swap bytes"),
  flag("pids-limit", "N", "processes; -1: unlimited", "pids limit number"),
];

function flag(name: string, value: string, help: string, where: string): UpdateFlag {
  const [group = "", member = "", kind] = where.split(" ");
  return { name, value, help, field: [group, member], kind: kind as UpdateFlag["kind"] };
}
