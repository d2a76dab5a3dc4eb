import type { Run } from "../cli/command.ts";
import type { Kernel } from "../../ffi/kernel.ts";
import { CommandError } from "../cli/command_error.ts";
import type { CgroupDirectory } from "../cgroup/cgroup_plan.ts";
import type { LinuxResources } from "../spec/types.ts";
import type { UnitState } from "../systemd/unit_entry.ts";
import { updateCgroup } from "../cgroup/update_cgroup.ts";
import { updateRequest } from "./update_request.ts";
import { withContainer } from "./with_container.ts";

/** `belay update`: other limits for a container that is there; all that are asked for, or none. */
export const run: Run = (invocation) => {
  const resources = updateRequest(invocation);
  return withContainer(invocation, async ({ thread, status, state }) => {
    if (status === "stopped" || status === "creating") {
      throw new CommandError("container not running");
    }
    const cgroups = state?.cgroups ?? [];
    const announce = state?.unit && await announcer(thread, state.unit, cgroups, resources);
    updateCgroup(thread, cgroups, resources, announce);
    return 0;
  });
};

/** What tells systemd of the limits, of a container whose cgroup is its. */
async function announcer(
  thread: Kernel,
  unit: UnitState,
  cgroups: readonly CgroupDirectory[],
  resources: LinuxResources,
): Promise<() => void> {
  const { updateUnit } = await import("../systemd/container_unit.ts");
  return () => updateUnit(thread, unit, cgroups, resources);
}
