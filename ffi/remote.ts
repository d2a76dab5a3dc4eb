import type { Call } from "./call.ts";
import type { Kernel } from "./kernel.ts";
import type { CloneArgs } from "./syscalls/process.ts";
import type { Pidfd } from "./pidfd.ts";

/** A kernel in another process: a stub that executes calls until it becomes something else or is let go. */
export interface Remote extends Kernel, Disposable {
  /** The process, held. */
  readonly pidfd: Pidfd;
  /** Makes a child of the stub by clone3, which is a stub too; its pidfd comes from that very clone3. */
  clone(name: string, args: Omit<CloneArgs, "pidfd">): Remote;
  /**
   * Makes a child of the stub that does nothing: it waits until the other end of `waiting`, a socket of the stub's, is
   * closed. Its pidfd comes from that very clone3, and is the caller's.
   */
  cloneIdle(args: Omit<CloneArgs, "pidfd">, waiting: number): Pidfd;
  /** Gives the stub copies of descriptors of this process; their numbers there. */
  give(fds: readonly number[]): number[];
  /** Takes copies of descriptors of the stub; their numbers here. */
  take(fds: readonly number[]): number[];
  /**
   * What the stub is to do when this process has ended, by whatever hand, or lets it go; then it ends. It serves
   * nothing else from here on, and nobody hears what became of the calls.
   */
  atEnd(calls: readonly Call<unknown>[]): void;
  /** Moves the stub's end of the conversation to a descriptor that is not below `least`. */
  moveAbove(least: number): void;
  /**
   * The last batch, which ends in execve: returns when the kernel has replaced the stub. From a call of seccomp(2) on
   * nothing but the batch itself is asked of the stub.
   * @param sent Descriptors of the stub that are sent here just before execve.
   * @throws SyscallError that of execve, or of a call before it.
   */
  exec(calls: readonly Call<unknown>[], sent?: SentBeforeExec): void;
  /** Leaves the stub asleep in accept4 on a listening socket of its own; somebody else may wake it (`wake`). */
  leaveIn(accept: Call<number>): void;
  /** Lets the stub go: its socket closes, it ends. */
  [Symbol.dispose](): void;
}

/** Descriptors that a stub sends in its last batch. */
export interface SentBeforeExec {
  /** Their numbers in the stub when it comes to that. */
  readonly fds: readonly number[];
  /** The stub closes its own then: whoever gets them is the only one who has them. A filter has to allow that. */
  readonly closes: boolean;
  /** Takes them, by their numbers here, while execve may still wait for whoever gets them. */
  readonly take: (fds: readonly number[]) => void;
}

/** Whoever can execute calls: this thread, and stubs that it starts. `Recorder` has a world without either. */
export interface Carriers {
  /** The calling thread. */
  readonly thread: Kernel;
  /** Starts a stub, a child of this process. */
  spawn(name: string): Remote;
  /** Wakes a stub that sleeps in accept4 on the socket at a path (of less than 108 bytes), and drives it. */
  wake(name: string, path: string, pidfd: Pidfd): Remote;
}
