import { type Arg, type Call, Loaded, Place, plain, Struct } from "./call.ts";
import { type Kernel, type Results, settle } from "./kernel.ts";
import type { Carriers, Remote, SentBeforeExec } from "./remote.ts";
import { Pidfd } from "./pidfd.ts";
import { close } from "./syscalls/file.ts";
import { clone3, type CloneArgs } from "./syscalls/process.ts";
import { connect, DescriptorMessage, SOCK, socket } from "./syscalls/socket.ts";
import { showCall } from "./show.ts";
import { CLONE } from "./abi/process_flags.ts";
import type { SyscallName } from "./abi/syscall_numbers.ts";

/** A call that would have been made. */
export interface RecordedCall {
  /** Who would make it: `belay`, `outer`, `init`, `hook`. */
  readonly process: string;
  /** The call. */
  readonly name: SyscallName;
  /** The call in one line, earlier results by their numbers. */
  readonly text: string;
  /** What it was answered. */
  readonly result: number;
}

/** A call as a script sees it: with its arguments as plain values. */
export interface Asked {
  readonly process: string;
  readonly name: SyscallName;
  /** Numbers and strings as they are; structs, to be filled, as such. */
  readonly args: readonly (number | bigint | string | Uint8Array | Struct)[];
  /** The next descriptor number of that process, for scripts that remember what is open. */
  readonly newFd: () => number;
}

/**
 * Answers a call: a result as the kernel would return it (an error number negated), with out-structs filled;
 * undefined for the usual answer: the next descriptor number where the call opens something, else 0.
 */
export type Script = (asked: Asked) => number | undefined;

/** Calls whose result is a new descriptor. */
const OPENING: ReadonlySet<SyscallName> = new Set([
  ...["openat", "openat2", "open_tree", "fsopen", "fsmount", "socket", "accept4"] as const,
  ...["memfd_create", "pidfd_open", "open_by_handle_at", "epoll_create1", "eventfd2"] as const,
  "inotify_init1",
]);

/** The first number that is given out: clear of the standard descriptors. */
const FIRST_FD = 3;
const FIRST_PID = 101;

/**
 * The carriers of a world in which nothing happens: every call is recorded and answered from a script. For `belay
 * plan`, for unit tests, and for whoever wants to know what would be done.
 */
export class Recorder implements Carriers {
  /** What was asked for, in order. */
  readonly calls: RecordedCall[] = [];
  readonly thread: RecordingKernel;
  #pid = FIRST_PID;

  constructor(readonly script: Script = () => undefined) {
    this.thread = new RecordingKernel(this, "belay");
  }

  /** @inheritdoc */
  spawn(name: string): Remote {
    return new RecordingRemote(this, name, this.nextPid());
  }

  /** @inheritdoc */
  wake(name: string, path: string, pidfd: Pidfd): Remote {
    const opened = socket(SOCK.SOCK_SEQPACKET);
    this.thread.batch([opened, connect(opened, path)]);
    return new RecordingRemote(this, name, pidfd.pid);
  }

  /** A number for a process that would be made. */
  nextPid(): number {
    return this.#pid++;
  }
}

/** A process that only records. */
export class RecordingKernel implements Kernel {
  protected next: number = FIRST_FD;

  constructor(protected readonly recorder: Recorder, protected readonly process: string) {}

  call<R>(made: Call<R>): R {
    return this.batch([made])[0] as R;
  }

  batch<const T extends readonly Call<unknown>[]>(calls: T): Results<T> {
    const raw = new Map<Arg, number>();
    const results = calls.map((made) => {
      const result = this.record(made, raw);
      raw.set(made as Call<number>, result);
      return settle(made, result);
    });
    return results as Results<T>;
  }

  protected record(made: Call<unknown>, earlier: ReadonlyMap<Arg, number>): number {
    const { process } = this;
    const args = made.args.map((arg) => value(arg, earlier));
    const result = this.recorder.script({
      ...{ process, name: made.name, args },
      newFd: () => this.newFd(),
    }) ?? this.#usual(made);
    const text = showCall(made, (call) => String(earlier.get(call) ?? "?"));
    this.recorder.calls.push({ process, name: made.name, text, result });
    return result;
  }

  /** Descriptors like the kernel's, but never used twice: each number stands for one thing in the record. */
  #usual(made: Call<unknown>): number {
    if (made.name === "clone3") return this.recorder.nextPid();
    return OPENING.has(made.name) ? this.newFd() : 0;
  }

  /** The next descriptor number of this process. */
  newFd(): number {
    return this.next++;
  }
}

function value(arg: Arg, earlier: ReadonlyMap<Arg, number>): Asked["args"][number] {
  const bare = plain(arg);
  if (bare instanceof Place) return bare.struct;
  if (bare instanceof Loaded) return bare.value;
  if (typeof bare === "object" && !(bare instanceof Struct) && !(bare instanceof Uint8Array)) {
    return earlier.get(bare) ?? -1;
  }
  return bare;
}

class RecordingRemote extends RecordingKernel implements Remote {
  readonly pidfd: Pidfd;

  constructor(recorder: Recorder, name: string, pid: number) {
    super(recorder, name);
    this.pidfd = new Pidfd(recorder.thread, recorder.thread.newFd(), pid);
  }

  clone(name: string, args: Omit<CloneArgs, "pidfd">): Remote {
    const message = new DescriptorMessage(1);
    const flags = Number(BigInt(args.flags) | BigInt(CLONE.CLONE_PIDFD));
    const pid = this.call(clone3({ ...args, flags, pidfd: message.slot(0) }));
    const child = new RecordingRemote(this.recorder, name, pid);
    child.next = this.next; // it inherits what is open
    return child;
  }

  cloneIdle(args: Omit<CloneArgs, "pidfd">, waiting: number): Pidfd {
    const { pidfd } = this.clone(`${waiting}`, args);
    return pidfd;
  }

  give(fds: readonly number[]): number[] {
    this.call(new DescriptorMessage(fds.length).receive(FIRST_FD));
    return fds.map(() => this.newFd());
  }

  take(fds: readonly number[]): number[] {
    this.call(new DescriptorMessage(fds).send(FIRST_FD));
    return fds.map(() => this.recorder.thread.newFd());
  }

  moveAbove(_least: number): void {}

  exec(calls: readonly Call<unknown>[], sent?: SentBeforeExec): void {
    if (sent === undefined) return void this.batch(calls);
    const message = new DescriptorMessage(sent.fds);
    this.batch([...calls.slice(0, -1), message.send(FIRST_FD)]);
    sent.take(sent.fds.map(() => this.recorder.thread.newFd()));
    this.batch([...(sent.closes ? sent.fds.map((fd) => close(fd)) : []), ...calls.slice(-1)]);
  }

  atEnd(calls: readonly Call<unknown>[]): void {
    this.batch(calls);
  }

  leaveIn(accept: Call<number>): void {
    this.call(accept);
  }

  [Symbol.dispose](): void {}
}
