import type { Kernel } from "../../ffi/kernel.ts";
import { freezerState } from "../cgroup/cgroup.ts";
import type { StateFile } from "../state/state_file.ts";

/** Whether a container's cgroup is frozen: then it is "paused". */
export function frozen(kernel: Kernel, state: StateFile | undefined): boolean {
  return freezerState(kernel, state?.cgroups ?? []) === "frozen";
}
