import { Arena, ArenaFull } from "./arena.ts";
import { syscallNumber } from "./abi/syscall_numbers.ts";
import { type Arg, attempt, Call, call, Loaded, out, plain } from "./call.ts";
import { type Kernel, type Results, settle } from "./kernel.ts";
import { addressOf, interruptBySignal } from "./libc.ts";
import { observer, unobserved } from "./observer.ts";
import { resolved } from "./request.ts";
import * as shared from "./pinned/protocol.ts";
import { SyscallError } from "./syscall_error.ts";
import { AT_FDCWD, O } from "./abi/file_flags.ts";
import { SIGNAL } from "./abi/signals.ts";
import { close, openat } from "./syscalls/file.ts";
import { clock_gettime, nanoseconds } from "./syscalls/memory.ts";
import { getpid } from "./syscalls/process.ts";

const { TURN } = shared;

/** How long a Worker may take to start and enter, and a thread to end. Starting takes 10 ms on a quiet machine. */
const START_TIMEOUT_MS = 20_000;
const END_TIMEOUT_MS = 10_000;
/** How long a request may take unless the caller says otherwise: none of them waits for anything by intention. */
const REQUEST_TIMEOUT_MS = 10_000;
/** How often a waiting caller looks whether the thread is still there. */
const SLICE_MS = 250;
/** How often a call that hangs is interrupted, a millisecond apart: the signal may come just before the call. */
const INTERRUPTIONS = 20;

/** The thread cannot serve: it did not start, ended, or did not answer in time. */
export class PinnedThreadError extends Error {
  override readonly name = "PinnedThreadError";
}

/** The thread is in another namespace than the one it was made for: nothing more is asked of it. */
export class WrongNamespaceError extends Error {
  override readonly name = "WrongNamespaceError";

  /** @param expected,actual Inodes; 0 for one that /proc could not tell. */
  constructor(label: string, readonly expected: number, readonly actual: number) {
    super(
      `${label}: the thread of network namespace ${expected} was in ` +
        (actual === 0 ? "one that /proc/thread-self/ns/net does not tell" : `${actual}`),
    );
  }
}

/** What a thread is pinned to. */
export interface PinnedOptions {
  /** For errors and traces. */
  readonly label: string;
  /** A descriptor of a network namespace, the caller's, needed until the thread has started; "new" makes one. */
  readonly enter: number | "new";
  /** The namespace's inode, when it is known. */
  readonly inode?: number;
  /** How long a request may take. */
  readonly timeoutMs?: number;
}

/**
 * The carrier that makes its calls on an OS thread of its own, in a network namespace that the thread enters once and
 * never leaves: a Deno Worker. Callers block until the answer is there, for a bounded time. Descriptors are the
 * process's, so what is opened here can be used and closed anywhere.
 *
 * Every answer carries the inode of the namespace that the thread is in, and it is compared.
 */
export class PinnedThread implements Kernel, AsyncDisposable {
  readonly #memory = new SharedArrayBuffer(shared.SHARED_SIZE);
  readonly #turn = new Int32Array(this.#memory, 0, 1);
  readonly #bytes = new Uint8Array(this.#memory);
  readonly #arena = new Arena(
    new ArrayBuffer(shared.SHARED_SIZE),
    addressOf(this.#memory),
    shared.CALLS_OFFSET,
  );
  #broken: Error | undefined;
  #closed = false;

  private constructor(
    private readonly kernel: Kernel,
    private readonly worker: Worker,
    /** For errors and traces. */
    readonly label: string,
    /** The namespace's inode. */
    readonly inode: number,
    /** The thread's number, a label; 0 when it is not known. */
    readonly tid: number,
    private readonly timeoutMs: number,
  ) {}

  /**
   * Starts a Worker, which blocks this thread for some 10 ms, and waits until it has entered.
   * @throws SyscallError of setns(2) or unshare(2); PinnedThreadError; WrongNamespaceError.
   */
  static async start(kernel: Kernel, options: PinnedOptions): Promise<PinnedThread> {
    const { label, enter, timeoutMs = REQUEST_TIMEOUT_MS } = options;
    const worker = new Worker(workerUrl(), {
      type: "module",
      name: enter === "new" ? "new" : `fd ${enter}`,
    });
    const { entered, inode, tid } = await hello(worker, label);
    if (entered < 0) {
      const { name, shown } = enter === "new"
        ? { name: "unshare", shown: "unshare(CLONE_NEWNET)" }
        : { name: "setns", shown: `setns(${enter}, CLONE_NEWNET)` };
      throw new SyscallError(name, -entered, `${label}: ${shown}`);
    }
    const pinned = new PinnedThread(kernel, worker, label, inode, tid, timeoutMs);
    worker.postMessage(pinned.#memory);
    const { inode: expected = inode } = options;
    if (inode === expected && inode !== 0) return pinned;
    await pinned[Symbol.asyncDispose]();
    throw new WrongNamespaceError(label, expected, inode);
  }

  /** @inheritdoc */
  call<R>(made: Call<R>): R {
    return this.batch([made])[0] as R;
  }

  /** @inheritdoc */
  batch<const T extends readonly Call<unknown>[]>(calls: T): Results<T> {
    if (observer() !== undefined) return this.#observed(calls) as Results<T>;
    const raw = this.#request(calls);
    const results: unknown[] = [];
    try {
      for (const [i, made] of calls.entries()) results.push(settle(made, raw[i] ?? 0));
    } catch (error) {
      this.#closeOwn(calls, raw, results.length);
      throw error;
    }
    return results as Results<T>;
  }

  /**
   * Ends the thread, and returns when it has ended: nothing of it is in the namespace then. Twice is harmless.
   * @throws PinnedThreadError when it does not end: it is in a call that cannot be interrupted.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#broken ??= new PinnedThreadError(`${this.label}: closed`);
    this.#end();
    const deadline = performance.now() + END_TIMEOUT_MS;
    for (let pause = 1; this.#alive(); pause = Math.min(pause * 2, 20)) {
      if (performance.now() > deadline) {
        this.worker.terminate();
        throw new PinnedThreadError(`${this.label}: its thread ${this.tid} does not end`);
      }
      await new Promise((resolve) => setTimeout(resolve, pause));
      // A thread that got no processor meanwhile may have been signalled too early.
      if (pause > 4 && Atomics.load(this.#turn, 0) === TURN.OVER) this.#interrupt();
    }
  }

  /** One call at a time, so that the observer sees each. */
  #observed(calls: readonly Call<unknown>[]): unknown[] {
    const watching = observer();
    const executor = { name: `netns ${this.label}`, pid: this.tid };
    const known = new Map<Arg, number>();
    return calls.map((made) => {
      const errno = watching?.before(made, executor);
      const start = this.#now();
      const result = errno === undefined ? this.#request([resolved(made, known)])[0] ?? 0 : -errno;
      watching?.after(made, executor, result, start, this.#now());
      known.set(made as Call<number>, result);
      return settle(made, result);
    });
  }

  #now(): bigint {
    const time = out(16);
    unobserved(() => this.kernel.call(clock_gettime(time)));
    return nanoseconds(time);
  }

  /** Raw results, up to the first failure that stops the batch. */
  #request(calls: readonly Call<unknown>[]): number[] {
    if (calls.length === 0) return [];
    if (this.#broken !== undefined) throw this.#broken;
    this.#write(calls);
    this.#await(calls);
    const { view } = this.#arena;
    this.#arena.bytes.set(this.#bytes.subarray(0, this.#arena.used));
    const inode = Number(view.getBigUint64(shared.INODE_OFFSET, true));
    if (inode !== this.inode) {
      this.#broken = new WrongNamespaceError(this.label, this.inode, inode);
      this.#end();
      throw this.#broken;
    }
    this.#arena.collect();
    return calls.map((_, i) =>
      Number(view.getBigInt64(shared.CALLS_OFFSET + i * shared.CALL_SIZE, true))
    );
  }

  #write(calls: readonly Call<unknown>[]): void {
    const arena = this.#arena;
    const end = shared.CALLS_OFFSET + calls.length * shared.CALL_SIZE;
    if (end > shared.SHARED_SIZE) throw new ArenaFull(`${calls.length} calls`);
    arena.reset(end);
    arena.view.setUint32(shared.COUNT_OFFSET, calls.length, true);
    for (const [index, made] of calls.entries()) {
      const at = shared.CALLS_OFFSET + index * shared.CALL_SIZE;
      let how = made.onFailure.kind === "throw" ? 0 : shared.CARRY_ON;
      for (let i = 0; i < 6; i++) {
        const arg = plain(made.args[i] ?? 0);
        let value;
        if (arg instanceof Call) {
          const earlier = calls.indexOf(arg as Call<unknown>);
          if (earlier < 0 || earlier >= index) {
            throw new Error(`${made.name}: ${arg.name} is no earlier call of its batch`);
          }
          value = arena.addressAt(shared.CALLS_OFFSET + earlier * shared.CALL_SIZE);
          how |= 1 << i;
        } else if (arg instanceof Loaded) {
          value = arena.value(arg.place);
          how |= 1 << i;
        } else value = arena.value(arg);
        arena.put(at + shared.ARGS_OFFSET + i * 8, value);
      }
      arena.put(at, syscallNumber(made.name));
      arena.put(at + shared.HOW_OFFSET, how);
    }
    // All but the word whose turn it is.
    this.#bytes.set(arena.bytes.subarray(4, arena.used), 4);
  }

  /** Hands the turn over and waits until it comes back. */
  #await(calls: readonly Call<unknown>[]): void {
    if (Atomics.compareExchange(this.#turn, 0, TURN.CALLER, TURN.WORKER) === TURN.CALLER) {
      Atomics.notify(this.#turn, 0);
    }
    const deadline = performance.now() + this.timeoutMs;
    for (;;) {
      const left = deadline - performance.now();
      Atomics.wait(this.#turn, 0, TURN.WORKER, Math.max(0, Math.min(left, SLICE_MS)));
      const now = Atomics.load(this.#turn, 0);
      if (now === TURN.CALLER) return;
      if (now === TURN.ENDED || !this.#alive()) {
        throw this.#fail(`its thread ended while it was asked for ${calls.map((c) => c.name)}`);
      }
      if (performance.now() >= deadline) {
        this.#end();
        throw this.#fail(`no answer to ${calls.map((c) => c.name)} in ${this.timeoutMs} ms`);
      }
    }
  }

  #fail(what: string): PinnedThreadError {
    const error = new PinnedThreadError(`${this.label}: ${what}`);
    this.#broken = error;
    return error;
  }

  /** Lets the Worker end; what it hangs in is interrupted. */
  #end(): void {
    const before = Atomics.exchange(this.#turn, 0, TURN.OVER);
    Atomics.notify(this.#turn, 0);
    if (before === TURN.ENDED) Atomics.store(this.#turn, 0, TURN.ENDED);
    if (before === TURN.WORKER) this.#interrupt();
  }

  /** Ends the call that the thread hangs in, if it can be interrupted, and with it the Worker. */
  #interrupt(): void {
    interruptBySignal("SIGURG", SIGNAL.SIGURG, () =>
      unobserved(() => {
        const pid = this.kernel.call(getpid());
        for (let i = 0; i < INTERRUPTIONS; i++) {
          this.kernel.call(attempt(call("tgkill", pid, this.tid, SIGNAL.SIGURG)));
          if (Atomics.wait(this.#turn, 0, TURN.OVER, 1) !== "timed-out") return;
        }
      }));
  }

  /** Whether the thread still exists. Its number is nobody else's before that: it is this process's. */
  #alive(): boolean {
    return unobserved(() => {
      const path = `/proc/self/task/${this.tid}`;
      const opened = this.kernel.call(attempt(openat(AT_FDCWD, path, O.O_PATH)));
      if (opened instanceof SyscallError) return false;
      this.kernel.call(close(opened));
      return true;
    });
  }

  /** What a batch opened and meant to close it closes, also when it ends early. */
  #closeOwn(calls: readonly Call<unknown>[], raw: readonly number[], failed: number): void {
    const known = new Map(calls.slice(0, failed).map((made, i) => [made as Arg, raw[i] ?? -1]));
    for (const made of calls.slice(failed + 1)) {
      const [fd] = made.args;
      if (made.name !== "close" || !(fd instanceof Call) || (known.get(fd) ?? -1) < 0) continue;
      this.kernel.call(attempt(close(known.get(fd) ?? -1))); // its own error would hide the first one
    }
  }
}

/**
 * Where the Worker's code is. `deno task build` puts the code itself here, as a data: URL: a bundle is one file, and
 * a compiled program has no others.
 */
function workerUrl(): string {
  return new URL("./pinned/worker.ts", import.meta.url).href;
}

async function hello(worker: Worker, label: string): Promise<shared.Hello> {
  const { promise, resolve, reject } = Promise.withResolvers<shared.Hello>();
  const fail = (what: string) => reject(new PinnedThreadError(`${label}: ${what}`));
  worker.onmessage = ({ data }) => resolve(data);
  worker.onerror = (event) => {
    event.preventDefault();
    fail(`its Worker failed: ${event.message}`);
  };
  const timer = setTimeout(
    () => fail(`its Worker did not start in ${START_TIMEOUT_MS} ms`),
    START_TIMEOUT_MS,
  );
  try {
    return await promise;
  } catch (error) {
    worker.terminate();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
