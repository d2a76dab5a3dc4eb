import type { Run } from "../cli/command.ts";
import { CommandError } from "../cli/command_error.ts";
import { updateCgroup } from "../cgroup/update_cgroup.ts";
import { updateRequest } from "./update_request.ts";
import { withContainer } from "./with_container.ts";

/** `belay update`: other limits for a container that is there; all that are asked for, or none. */
export const run: Run = (invocation) => {
  const resources = updateRequest(invocation);
  return withContainer(invocation, ({ thread, status, state }) => {
    if (status === "stopped" || status === "creating") {
      throw new CommandError("container not running");
    }
    updateCgroup(thread, state?.cgroups ?? [], resources);
    return 0;
  });
};
