import type { Kernel } from "../../ffi/kernel.ts";
import { freezerState, setFrozen } from "../cgroup/freezer.ts";
import type { StateFile } from "../state/state_file.ts";

/** Whether a container's cgroup is frozen: then it is "paused". */
export function frozen(kernel: Kernel, state: StateFile | undefined): boolean {
  return freezerState(kernel, state?.cgroups ?? []) === "frozen";
}

/** Lets a container that is about to die go on, if somebody has paused it. */
export function thaw(kernel: Kernel, state: StateFile | undefined): void {
  if (frozen(kernel, state)) setFrozen(kernel, state?.cgroups ?? [], false);
}
