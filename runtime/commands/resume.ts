import type { Run } from "../cli/command.ts";
import { CommandError } from "../cli/command_error.ts";
import { resume } from "../cgroup/freezer.ts";
import { withContainer } from "./with_container.ts";

/** `belay resume`: lets a paused container go on. */
export const run: Run = (invocation) =>
  withContainer(invocation, ({ thread, status, state }) => {
    if (status !== "paused") throw new CommandError("container not paused");
    resume(thread, state?.cgroups ?? []);
    return 0;
  });
