import type { Call } from "./call.ts";
import { SyscallError } from "./syscall_error.ts";
import { showCall } from "./show.ts";
import { ERRNO } from "./abi/errno.ts";

/** The results of a batch, one for each call, in order. */
export type Results<T extends readonly Call<unknown>[]> = {
  -readonly [I in keyof T]: T[I] extends Call<infer R> ? R : never;
};

/**
 * Whoever executes system calls. Four carriers do: `Thread` on the calling OS thread, `PinnedThread` on one that is in
 * another network namespace, `Stub` in another process, `Recorder` nowhere. All of them are synchronous.
 */
export interface Kernel {
  /** Makes one call. @throws SyscallError */
  call<R>(call: Call<R>): R;
  /**
   * Makes the calls in order and stops at the first failure that the call does not expect. A call may name an
   * earlier call of the same batch where it wants that one's result. A stub cannot tell one error from another: after
   * a tolerated call that fails in another way than expected it makes the calls behind it, too, before this throws.
   * @throws SyscallError
   */
  batch<const T extends readonly Call<unknown>[]>(calls: T): Results<T>;
}

/** What happened to one call of a batch, as a carrier reports it. */
export interface Outcome {
  readonly call: Call<unknown>;
  /** What the kernel returned: -4095..-1 is an error number. */
  readonly result: number;
}

/**
 * What a call's raw result means to its caller: the decoded value, undefined for a tolerated error, the error
 * itself for an attempted call.
 * @throws SyscallError when the call failed and nobody expected that.
 */
export function settle(made: Call<unknown>, result: number): unknown {
  if (result >= 0 || result < -4095) return made.decode(result);
  const errno = -result;
  switch (made.onFailure.kind) {
    case "attempt":
      return SyscallError.asValue(made.name, errno, () => showCall(made));
    case "tolerate":
      if (made.onFailure.errnos.some((name) => ERRNO[name] === errno)) return undefined;
  }
  const error = new SyscallError(made.name, errno, showCall(made));
  error.made = made;
  throw error;
}
