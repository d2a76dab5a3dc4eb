// cgroup file systems in memory, behind the Kernel seam, as far as runtime/cgroup/ uses them: enough of the
// kernel's rules to see orders and failures without root.
import { type Arg, Call, plain } from "../../ffi/call.ts";
import { type Kernel, type Results, settle } from "../../ffi/kernel.ts";
import { ERRNO, type ErrnoName } from "../../ffi/abi/errno.ts";

class Refusal extends Error {
  constructor(readonly errno: ErrnoName) {
    super(errno);
  }
}

interface Open {
  readonly path: string;
  at: number;
}

/** What a test may say about a call: an error in place of it. */
export type Interference = (name: string, nth: number, args: readonly unknown[]) =>
  | ErrnoName
  | undefined;

const V1_FILES: Readonly<Record<string, readonly string[]>> = {
  cpuset: ["cpuset.cpus", "cpuset.mems"],
  cpu: ["cpu.shares", "cpu.cfs_period_us", "cpu.cfs_quota_us"],
  memory: ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"],
  pids: ["pids.max"],
  devices: ["devices.allow", "devices.deny"],
  freezer: ["freezer.state", "freezer.self_freezing"],
};
const V2_FILES = [
  "cgroup.controllers",
  "cgroup.subtree_control",
  "cgroup.freeze",
  "cgroup.kill",
  "cgroup.events",
  "memory.max",
  "memory.swap.max",
  "pids.max",
  "cpu.max",
  "cpu.weight",
];

/** The fake. Mount points are made by `mount`; everything else happens through calls. */
export class FakeKernel implements Kernel {
  readonly directories = new Set<string>();
  readonly files = new Map<string, string>();
  /** Every call in one line, for orders: `mkdirat /c/cpu/x`, `write /c/pids/x/pids.max 5`. */
  readonly log: string[] = [];
  /** Processes by cgroup directory. */
  readonly processes = new Map<string, number[]>();
  /** Signals sent: pid and signal. */
  readonly signals: [pid: number, signal: number][] = [];
  interfere: Interference = () => undefined;
  #fds = new Map<number, Open>();
  #nextFd = 10;
  /** How many calls were made. */
  calls = 0;

  /** A hierarchy: its type is the last component of the path; `v2` for cgroup2. */
  mount(path: string, files: Readonly<Record<string, string>> = {}): this {
    this.#makeDirectory(path);
    for (const name in files) this.files.set(`${path}/${name}`, files[name] ?? "");
    return this;
  }

  /** Descriptors that nobody closed. */
  get openFds(): number {
    return this.#fds.size;
  }

  /** The process whose descriptors these are has ended. */
  end(): void {
    this.#fds.clear();
  }

  call<R>(made: Call<R>): R {
    return this.batch([made])[0] as R;
  }

  batch<const T extends readonly Call<unknown>[]>(calls: T): Results<T> {
    const results = new Map<Arg, number>();
    return calls.map((made) => {
      const args = made.args.map((arg) => {
        const bare = plain(arg);
        return bare instanceof Call ? results.get(bare) : bare;
      });
      const raw = this.#execute(made, args);
      results.set(made as Call<number>, raw);
      return settle(made, raw);
    }) as Results<T>;
  }

  #execute(made: Call<unknown>, args: readonly unknown[]): number {
    try {
      const errno = this.interfere(made.name, ++this.calls, args);
      if (errno !== undefined) throw new Refusal(errno);
      return this.#do(made, args);
    } catch (error) {
      if (error instanceof Refusal) return -ERRNO[error.errno];
      throw error;
    }
  }

  #do({ name, args: made }: Call<unknown>, args: readonly unknown[]): number {
    const path = String(args[1]);
    switch (name) {
      case "geteuid":
      case "clock_nanosleep":
        return 0;
      case "faccessat2":
        if (!this.directories.has(path) && !this.files.has(path)) throw new Refusal("ENOENT");
        return 0;
      case "mkdirat":
        this.log.push(`mkdirat ${path}`);
        if (this.directories.has(path)) throw new Refusal("EEXIST");
        if (!this.directories.has(parentOf(path))) throw new Refusal("ENOENT");
        this.#makeDirectory(path);
        return 0;
      case "unlinkat":
        this.log.push(`rmdir ${path}`);
        return this.#removeDirectory(path);
      case "openat":
        if (!this.files.has(path) && !this.directories.has(path)) throw new Refusal("ENOENT");
        this.#fds.set(this.#nextFd, { path, at: 0 });
        return this.#nextFd++;
      case "pidfd_open":
        if (![...this.processes.values()].flat().includes(Number(args[0]))) {
          throw new Refusal("ESRCH");
        }
        this.#fds.set(this.#nextFd, { path: `pid ${args[0]}`, at: 0 });
        return this.#nextFd++;
      case "pidfd_send_signal": {
        const pid = Number(this.#open(args[0]).path.slice(4));
        this.signals.push([pid, Number(args[1])]);
        if (args[1] === 9) this.#end([pid]);
        return 0;
      }
      case "close":
        if (!this.#fds.delete(Number(args[0]))) throw new Refusal("EBADF");
        return 0;
      case "read":
        return this.#read(this.#open(args[0]), args[1] as { bytes: Uint8Array });
      case "getdents64":
        return this.#list(this.#open(args[0]), args[1] as { bytes: Uint8Array });
      case "write":
        return this.#write(
          this.#open(args[0]).path,
          new TextDecoder().decode(args[1] as Uint8Array),
        );
      case "bpf":
        this.log.push(`bpf ${made.length > 0 ? args[0] : ""}`);
        return args[0] === 5
          ? (this.#fds.set(this.#nextFd, { path: "bpf", at: 0 }), this.#nextFd++)
          : 0;
      default:
        throw new Error(`the fake kernel has no ${name}`);
    }
  }

  #open(fd: unknown): Open {
    const open = this.#fds.get(Number(fd));
    if (open === undefined) throw new Refusal("EBADF");
    return open;
  }

  #makeDirectory(path: string): void {
    this.directories.add(path);
    const type = path.split("/")[2] ?? "";
    const names = type === "v2" ? V2_FILES : [...V1_FILES[type] ?? [], "tasks"];
    for (const name of [...names, "cgroup.procs"]) this.files.set(`${path}/${name}`, "");
    if (type === "freezer") this.files.set(`${path}/freezer.state`, "THAWED\n");
    if (type !== "v2") return;
    this.files.set(`${path}/cgroup.freeze`, "0\n");
    this.files.set(`${path}/cgroup.events`, "populated 0\nfrozen 1\n");
    const given = this.files.get(`${parentOf(path)}/cgroup.subtree_control`);
    if (given !== undefined) this.files.set(`${path}/cgroup.controllers`, given);
  }

  #removeDirectory(path: string): number {
    if (!this.directories.has(path)) throw new Refusal("ENOENT");
    const below = [...this.directories].some((other) => parentOf(other) === path);
    if (below || (this.processes.get(path) ?? []).length > 0) throw new Refusal("EBUSY");
    this.directories.delete(path);
    for (const file of [...this.files.keys()]) if (parentOf(file) === path) this.files.delete(file);
    return 0;
  }

  #read(open: Open, buffer: { bytes: Uint8Array }): number {
    const text = open.path.endsWith("/cgroup.procs")
      ? (this.processes.get(parentOf(open.path)) ?? []).map((pid) => `${pid}\n`).join("")
      : this.files.get(open.path) ?? "";
    const rest = new TextEncoder().encode(text).subarray(open.at, open.at + buffer.bytes.length);
    buffer.bytes.set(rest);
    open.at += rest.length;
    return rest.length;
  }

  #list(open: Open, buffer: { bytes: Uint8Array }): number {
    if (open.at++ > 0) return 0;
    const view = new DataView(buffer.bytes.buffer, buffer.bytes.byteOffset);
    let at = 0;
    for (const directory of this.directories) {
      if (parentOf(directory) !== open.path) continue;
      const name = new TextEncoder().encode(directory.slice(open.path.length + 1) + "\0");
      const size = (19 + name.length + 7) & ~7;
      view.setUint16(at + 16, size, true);
      view.setUint8(at + 18, 4);
      buffer.bytes.set(name, at + 19);
      at += size;
    }
    return at;
  }

  #write(path: string, text: string): number {
    this.log.push(`write ${path} ${text}`);
    if (!this.files.has(path)) throw new Refusal("ENODEV");
    const directory = parentOf(path);
    if (path.endsWith("/tasks") && text === "0") {
      const cpus = this.files.get(`${directory}/cpuset.cpus`);
      if (cpus === "") throw new Refusal("ENOSPC");
      this.processes.set(directory, [...this.processes.get(directory) ?? [], 4711]);
    } else if (path.endsWith("/cgroup.kill")) {
      this.#end(
        [...this.processes].filter(([d]) => `${d}/`.startsWith(`${directory}/`)).flatMap(([, p]) =>
          p
        ),
      );
    } else if (path.endsWith("/cgroup.subtree_control")) {
      const names = text.split(" ").map((each) => each.slice(1));
      const mine = this.files.get(`${directory}/cgroup.controllers`)?.split(/\s+/) ?? [];
      if (!names.every((name) => mine.includes(name))) throw new Refusal("ENOENT");
      const given = new Set(
        [...this.files.get(path)?.split(" ") ?? [], ...names].filter((n) => n !== ""),
      );
      this.files.set(path, [...given].join(" "));
      for (const other of this.directories) {
        if (parentOf(other) === directory) {
          this.files.set(`${other}/cgroup.controllers`, [...given].join(" "));
        }
      }
    } else this.files.set(path, text);
    return new TextEncoder().encode(text).length;
  }

  #end(pids: readonly number[]): void {
    for (const [directory, there] of this.processes) {
      this.processes.set(directory, there.filter((pid) => !pids.includes(pid)));
    }
  }
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}
