import type { Call } from "./call.ts";
import type { Kernel, Results } from "./kernel.ts";
import { SyscallError } from "./syscall_error.ts";

/**
 * What to do about a call that failed in a group that was posted: "again" when the obstacle is out of the way and the
 * whole group is to be made once more, "done" when its purpose was reached in another way; else it throws the error
 * that people are to see.
 * @param direct The kernel, without what is still waiting.
 */
export type OnPostedFailure = (error: SyscallError, direct: Kernel) => "again" | "done";

interface Group {
  readonly calls: readonly Call<unknown>[];
  readonly failed?: OnPostedFailure;
}

/** Calls that may wait together: with their arguments they stay well below what a request holds. */
const MOST_WAITING = 500;

/**
 * A kernel in another process that is asked as seldom as possible: calls whose results nobody needs are posted, wait,
 * and travel in one request with the next calls whose results somebody does need. Order is kept; a failure stops
 * everything behind it, and is reported by the group that it belongs to, though later than it was posted.
 */
export class Deferring implements Kernel {
  #waiting: Group[] = [];
  #count = 0;

  constructor(private readonly direct: Kernel) {}

  /** Makes calls some time before the next `call`, `batch` or `flush` returns. Calls may name others of the group. */
  post(calls: readonly Call<unknown>[], failed?: OnPostedFailure): void {
    if (calls.length === 0) return;
    this.#waiting.push(failed === undefined ? { calls } : { calls, failed });
    this.#count += calls.length;
    if (this.#count > MOST_WAITING) this.flush();
  }

  /** @inheritdoc */
  call<R>(made: Call<R>): R {
    return this.batch([made])[0] as R;
  }

  /** @inheritdoc */
  batch<const T extends readonly Call<unknown>[]>(calls: T): Results<T> {
    return this.#make({ calls }) as Results<T>;
  }

  /** Makes everything that waits. @throws SyscallError, or what a group's handler throws. */
  flush(): void {
    if (this.#waiting.length > 0) this.#make({ calls: [] });
  }

  #make(last: Group): unknown[] {
    let groups = [...this.#waiting, last];
    this.#waiting = [];
    this.#count = 0;
    for (;;) {
      try {
        const results = this.direct.batch(groups.flatMap((group) => group.calls)) as unknown[];
        return results.slice(results.length - last.calls.length);
      } catch (error) {
        if (!(error instanceof SyscallError)) throw error;
        const at = groups.findIndex(({ calls }) => calls.some((made) => made === error.made));
        const failed = groups[at]?.failed;
        if (failed === undefined) throw error;
        groups = groups.slice(failed(error, this.direct) === "done" ? at + 1 : at);
      }
    }
  }
}

/** Posts calls where the kernel can wait, makes them at once where it cannot. */
export function post(
  kernel: Kernel,
  calls: readonly Call<unknown>[],
  failed?: OnPostedFailure,
): void {
  if (kernel instanceof Deferring) return kernel.post(calls, failed);
  const now = new Deferring(kernel);
  now.post(calls, failed);
  now.flush();
}
