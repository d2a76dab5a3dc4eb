/**
 * The seam's window: `--trace` looks through it, the fault sweep reaches through it. Without an observer nothing
 * here costs more than a comparison.
 *
 * @module
 */
import type { Call } from "./call.ts";

/** Who executes a call: a label for people. */
export interface Executor {
  /** `belay`, `stub`, `init`, … */
  readonly name: string;
  /** The process's number, a label; 0 when it is not known. */
  readonly pid: number;
}

/** Sees every call of every carrier of this thread, one at a time. */
export interface Observer {
  /** Before the call. An error number (positive) makes it fail with that without being executed. */
  before(made: Call<unknown>, executor: Executor): number | undefined;
  /**
   * After the call, with its raw result and CLOCK_MONOTONIC in nanoseconds before and after it. `result` is
   * undefined for a call that does not return: an execve that succeeded, the accept4 in which a stub sleeps.
   */
  after(
    made: Call<unknown>,
    executor: Executor,
    result: number | undefined,
    start: bigint,
    end: bigint,
  ): void;
}

let current: Observer | undefined;

/** The observer of this thread, if there is one. */
export function observer(): Observer | undefined {
  return current;
}

/** Installs an observer; undefined takes it away. */
export function observe(next: Observer | undefined): void {
  current = next;
}

/** Does something that no observer sees: the seam's own plumbing. */
export function unobserved<T>(plumbing: () => T): T {
  const before = current;
  current = undefined;
  try {
    return plumbing();
  } finally {
    current = before;
  }
}
