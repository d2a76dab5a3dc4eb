import type { Kernel } from "../../ffi/kernel.ts";
import { Thread } from "../../ffi/thread.ts";

let thread: Kernel | undefined;

/** The carrier of commands that need no other process: this thread. They load no stub. */
export function hostThread(): Kernel {
  return thread ??= new Thread();
}

/** Puts another carrier in its place: for tests that break calls on purpose. */
export function useThread(other: Kernel): void {
  thread = other;
}
