import { Call, Loaded, plain } from "../../ffi/call.ts";
import type { Executor, Observer } from "../../ffi/observer.ts";
import { ERRNO, type ErrnoName } from "../../ffi/abi/errno.ts";
import { syscallNumber } from "../../ffi/abi/syscall_numbers.ts";
import { syscall } from "../../ffi/libc.ts";
import { showCall } from "../../ffi/show.ts";

/** What happens at the chosen call: belay is killed before it is made, or it fails. */
export type Deed = "kill" | ErrnoName;

/** The call at which it happened. */
export interface Hit {
  /** `belay`, `outer`, `init`, … */
  readonly executor: string;
  readonly call: string;
  /** The call with its arguments. */
  readonly shown: string;
}

/**
 * The errors that are injected. Not among them: EINTR, which belay never sees (both carriers make an interrupted call
 * again by themselves), and errors that say something about the world (ENOENT, ESRCH, EEXIST, EAGAIN): they would be lies,
 * and belay would rightly believe them.
 */
export const ERRNOS: readonly ErrnoName[] = [
  ...["EPERM", "ENOMEM", "EIO", "ENOSPC", "EMFILE", "EBUSY", "ENOSYS"] as const,
];

/** Counts the system calls that are made for one command, and does something at one of them. */
export class Injector implements Observer {
  /** Calls so far. */
  made = 0;
  /** Where it happened, once it has. */
  hit: Hit | undefined;
  readonly #results = new WeakMap<Call<unknown>, number>();

  /** @param k The call, counted from 1; 0 for none: then calls are only counted. */
  constructor(readonly k: number, readonly deed: Deed) {}

  /** @inheritdoc */
  before(made: Call<unknown>, executor: Executor): number | undefined {
    this.made++;
    if (this.made !== this.k) return undefined;
    // To oneself it is synchronous: the kernel ends this process before kill(2) returns to it.
    if (this.deed === "kill") Deno.kill(Deno.pid, "SIGKILL");
    // A stub's close cannot be made to be done and to fail, and one that is not done is no fault that exists.
    if (made.name === "close" && executor.name !== "belay") return undefined;
    this.hit = { executor: executor.name, call: made.name, shown: showCall(made) };
    const errno = this.deed as ErrnoName;
    // That rmdir finds a directory in use is news about the world, too, and not a fault.
    if (made.name === "unlinkat" && errno === "EBUSY") return ERRNO.EIO;
    if (made.name !== "close") return ERRNO[errno];
    // close(2) gives the descriptor back whatever it returns, and it returns no other errors than these.
    this.#close(made);
    return this.deed === "ENOSPC" ? ERRNO.ENOSPC : ERRNO.EIO;
  }

  /** @inheritdoc */
  after(made: Call<unknown>, _executor: Executor, result: number | undefined): void {
    if (result !== undefined) this.#results.set(made, result);
  }

  #close(made: Call<unknown>): void {
    const arg = plain(made.args[0] ?? -1);
    const fd = arg instanceof Call
      ? this.#results.get(arg)
      : arg instanceof Loaded
      ? arg.value
      : arg;
    syscall(syscallNumber("close"), [Number(fd), 0, 0, 0, 0, 0]);
  }
}
