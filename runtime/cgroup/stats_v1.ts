import type { Kernel } from "../../ffi/kernel.ts";
import { AT_FDCWD } from "../../ffi/abi/file_flags.ts";
import { readDirectory } from "../../ffi/files.ts";
import { isSyscallError } from "../../ffi/syscall_error.ts";
import type { CgroupDirectory } from "./cgroup_plan.ts";
import { amountOf, keyed, numbersOf, readStat } from "./stat_files.ts";
import type { BlkioEntry, MemoryEntry, Stats } from "./stats.ts";

/** cpuacct.stat counts in ticks of 1/100 s (USER_HZ). */
const NS_PER_TICK = 10_000_000n;

/** What is 0 is left out, as by Go's omitempty. */
export function unlessZero<K extends string>(
  values: Record<K, bigint>,
): Partial<Record<K, bigint>> {
  const kept: Partial<Record<K, bigint>> = {};
  for (const name in values) if (values[name] !== 0n) kept[name] = values[name];
  return kept;
}

/** cgroup v1. Sources: Documentation/admin-guide/cgroup-v1/*.rst. @throws SyscallError */
export function statsV1(kernel: Kernel, directories: readonly CgroupDirectory[]): Stats {
  const at = (controller: string) =>
    directories.find(({ controllers }) => controllers.includes(controller))?.path;
  const read = (controller: string, file: string) => readStat(kernel, at(controller), file);
  return {
    cpu: cpu(read),
    cpuset: cpuset(read),
    memory: memory(read),
    pids: pids((file) => read("pids", file)),
    blkio: blkio((file) => read("blkio", file)),
    hugetlb: hugetlb(kernel, at("hugetlb"), (file) => read("hugetlb", file)),
    intel_rdt: {},
    network_interfaces: null,
  };
}

type Read = (controller: string, file: string) => string | undefined;

function cpu(read: Read): Stats["cpu"] {
  const { user = 0n, system = 0n } = keyed(read("cpuacct", "cpuacct.stat"));
  const percpu = read("cpuacct", "cpuacct.usage_percpu")?.trim().split(/\s+/).map(amountOf) ?? [];
  // A head line, then for each processor its number, and the time of its users and of the kernel.
  const [, ...all] = read("cpuacct", "cpuacct.usage_all")?.trim().split("\n") ?? [];
  const column = (index: number) => all.map((line) => amountOf(line.split(" ")[index]));
  return {
    usage: {
      ...unlessZero({ total: amountOf(read("cpuacct", "cpuacct.usage")) }),
      ...(percpu.length === 0 ? {} : { percpu }),
      ...(all.length === 0 ? {} : { percpu_kernel: column(2), percpu_user: column(1) }),
      kernel: system * NS_PER_TICK,
      user: user * NS_PER_TICK,
    },
    throttling: throttling(keyed(read("cpu", "cpu.stat")), "throttled_time", 1n),
  };
}

/** How often a CPU quota was used up. */
export function throttling(
  stat: Readonly<Record<string, bigint>>,
  time: string,
  ns: bigint,
): Stats["cpu"]["throttling"] {
  return unlessZero({
    periods: stat.nr_periods ?? 0n,
    throttledPeriods: stat.nr_throttled ?? 0n,
    throttledTime: (stat[time] ?? 0n) * ns,
  });
}

/** The names of the numbers in runc's JSON; those of the kernel's files are the same, with another start. */
const CPUSET = [
  ...["cpu_exclusive", "mem_hardwall", "mem_exclusive", "memory_migrate", "memory_spread_page"],
  ...["memory_spread_slab", "memory_pressure", "sched_load_balance", "sched_relax_domain_level"],
];

function cpuset(read: Read): Stats["cpuset"] {
  const numbers = CPUSET.map((name) => [name, amountOf(read("cpuset", `cpuset.${name}`))] as const);
  const [exclusive, ...others] = numbers;
  return Object.fromEntries([
    ...list("cpus", numbersOf(read("cpuset", "cpuset.cpus"))),
    ...(exclusive === undefined ? [] : [exclusive]),
    ...list("mems", numbersOf(read("cpuset", "cpuset.mems"))),
    ...others,
  ]);
}

function list(name: string, numbers: number[]): [string, number[]][] {
  return numbers.length === 0 ? [] : [[name, numbers]];
}

/** A cpuset of which nothing is known. */
export const NO_CPUSET: Stats["cpuset"] = Object.fromEntries(CPUSET.map((name) => [name, 0n]));

function memory(read: Read): Stats["memory"] {
  const raw = keyed(read("memory", "memory.stat"));
  const entry = (kind: string): MemoryEntry => {
    const value = (name: string) => amountOf(read("memory", `memory.${kind}${name}`));
    return {
      limit: value("limit_in_bytes"),
      ...unlessZero({ usage: value("usage_in_bytes"), max: value("max_usage_in_bytes") }),
      failcnt: value("failcnt"),
    };
  };
  return {
    ...unlessZero({ cache: raw.cache ?? 0n }),
    usage: entry(""),
    swap: entry("memsw."),
    kernel: entry("kmem."),
    kernelTCP: entry("kmem.tcp."),
    ...(Object.keys(raw).length === 0 ? {} : { raw }),
  };
}

/** Processes, on both versions. No limit is 0. */
export function pids(read: (file: string) => string | undefined): Stats["pids"] {
  const limit = read("pids.max")?.trim();
  return unlessZero({
    current: amountOf(read("pids.current")),
    limit: limit === "max" ? 0n : amountOf(limit),
  });
}

/** The lists of runc's JSON, and the ends of the names of the files that they come from. */
const SCHEDULED = {
  ioServiceBytesRecursive: "io_service_bytes_recursive",
  ioServicedRecursive: "io_serviced_recursive",
  ioQueueRecursive: "io_queued_recursive",
  ioServiceTimeRecursive: "io_service_time_recursive",
  ioWaitTimeRecursive: "io_wait_time_recursive",
  ioMergedRecursive: "io_merged_recursive",
  ioTimeRecursive: "time_recursive",
  sectorsRecursive: "sectors_recursive",
} as const;

/** Whose counters they are, best first: the scheduler's, else the throttle's. */
const COUNTERS = ["blkio.bfq.", "blkio.", "blkio.throttle."];

function blkio(read: (file: string) => string | undefined): Stats["blkio"] {
  for (const prefix of COUNTERS) {
    const lists = Object.entries(SCHEDULED).map(([name, file]) =>
      [name, blkioEntries(read(`${prefix}${file}`))] as const
    );
    const filled = lists.filter(([, entries]) => entries.length > 0);
    if (filled.length > 0) return Object.fromEntries(filled);
  }
  return {};
}

/** `8:0 Read 4096` lines; a line of sectors has no word. The sum over all devices is left out, as by runc. */
function blkioEntries(text: string | undefined): BlkioEntry[] {
  return (text ?? "").split("\n").flatMap((line) => {
    const [, major, minor, op, value] = /^(\d+):(\d+)(?: ([A-Za-z]+))? (\d+)$/.exec(line) ?? [];
    if (major === undefined || minor === undefined || value === undefined) return [];
    return [blkioEntry(BigInt(major), BigInt(minor), op ?? "", BigInt(value))];
  });
}

/** One entry, as Go would write it. */
export function blkioEntry(major: bigint, minor: bigint, op: string, value: bigint): BlkioEntry {
  return {
    ...unlessZero({ major, minor }),
    ...(op === "" ? {} : { op }),
    ...unlessZero({ value }),
  };
}

function hugetlb(
  kernel: Kernel,
  directory: string | undefined,
  read: (file: string) => string | undefined,
): Stats["hugetlb"] {
  const sizes = hugePageSizes(kernel, directory, "usage_in_bytes");
  return Object.fromEntries(sizes.map((size) => {
    const value = (name: string) => amountOf(read(`hugetlb.${size}.${name}`));
    const used = { usage: value("usage_in_bytes"), max: value("max_usage_in_bytes") };
    return [size, { ...unlessZero(used), failcnt: value("failcnt") }];
  }));
}

/** The sizes of huge pages that a cgroup counts: `2MB` for a file `hugetlb.2MB.current`. @throws SyscallError */
export function hugePageSizes(
  kernel: Kernel,
  directory: string | undefined,
  file: string,
): string[] {
  if (directory === undefined) return [];
  try {
    return readDirectory(kernel, AT_FDCWD, directory).flatMap(({ name }) => {
      const [start, size, end, ...more] = name.split(".");
      const counts = start === "hugetlb" && end === file && more.length === 0;
      return counts && size !== undefined ? [size] : [];
    }).sort();
  } catch (error) {
    if (isSyscallError(error, "ENOENT")) return []; // the container has just gone
    throw error;
  }
}
