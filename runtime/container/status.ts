import type { Kernel } from "../../ffi/kernel.ts";
import type { Pidfd } from "../../ffi/pidfd.ts";
import { reopen } from "../../ffi/identity.ts";
import type { StateDir } from "../state/state_dir.ts";
import type { StateFile } from "../state/state_file.ts";

/** What a container is (runtime.md, "State"); `paused` is runc's. */
export type Status = "creating" | "created" | "running" | "paused" | "stopped";

/** A container as the kernel says it is at this moment. */
export interface Seen {
  readonly status: Status;
  /** The container's first process, held; undefined when it is gone. The caller's to close. */
  readonly init?: Pidfd;
}

/**
 * Asks the kernel what a container is; nothing of this is stored, so nothing can be out of date. The stub that waits
 * to become the container's process holds `exec.lock`, close-on-exec: the very execve that makes the container
 * "running" lets go of it.
 * @param paused Tells whether its cgroup is frozen.
 */
export function seeContainer(
  kernel: Kernel,
  dir: StateDir,
  state: StateFile | undefined,
  paused: () => boolean = () => false,
): Seen {
  if (state?.init === undefined) return { status: "creating" };
  const init = reopen(kernel, state.init);
  if (init === undefined) return { status: "stopped" };
  try {
    const status = statusOf(init, dir, state, paused);
    if (status !== "stopped") return { status, init };
  } catch (error) {
    init[Symbol.dispose]();
    throw error;
  }
  init[Symbol.dispose]();
  return { status: "stopped" };
}

function statusOf(init: Pidfd, dir: StateDir, state: StateFile, paused: () => boolean): Status {
  if (!init.alive()) return "stopped"; // a zombie, which its parent has not reaped: it runs no more
  const waiting = dir.execLockHeld();
  if (waiting && state.exec === undefined) return "creating";
  if (paused()) return "paused"; // also one that was not started yet, as with runc
  return waiting ? "created" : "running";
}
