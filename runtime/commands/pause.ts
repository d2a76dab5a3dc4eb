import type { Run } from "../cli/command.ts";
import { CommandError } from "../cli/command_error.ts";
import { pause } from "../cgroup/freezer.ts";
import { withContainer } from "./with_container.ts";

/** `belay pause`: stops every process of a container where it is, by the freezer of its cgroup. */
export const run: Run = (invocation) =>
  withContainer(invocation, ({ thread, status, state }) => {
    if (status !== "created" && status !== "running") {
      throw new CommandError("container not running");
    }
    pause(thread, state?.cgroups ?? []);
    return 0;
  });
