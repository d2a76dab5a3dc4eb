import type { Run } from "../cli/command.ts";
import { CommandError } from "../cli/command_error.ts";
import { containerId } from "../cli/container_id.ts";
import { runPoststart, startProcess } from "../container/start_process.ts";
import { frozen } from "../container/frozen.ts";
import { seeContainer } from "../container/status.ts";
import { StateDir } from "../state/state_dir.ts";
import { hostCarriers } from "./host_carriers.ts";

/** `belay start`: wakes the stub that `create` left, and makes it the program. */
export const run: Run = async ({ globals, args }) => {
  const carriers = hostCarriers(globals);
  const { thread } = carriers;
  using dir = StateDir.expect(thread, globals.root, containerId(args[0] ?? ""));
  dir.lock();
  const state = dir.read();
  const { status, init } = seeContainer(thread, dir, state, () => frozen(thread, state));
  using pidfd = init;
  if (status === "stopped") throw new CommandError("cannot start a container that has stopped");
  // Its stub would never answer.
  if (status === "paused") throw new CommandError("cannot start a container in the paused state");
  if (status !== "created" || pidfd === undefined || state?.exec === undefined) {
    throw new CommandError(
      status === "creating"
        ? "cannot start a container that was not created to its end; delete it with --force"
        : "cannot start an already running container",
    );
  }
  using stub = carriers.wake("init", dir.controlPath, pidfd);
  await startProcess(carriers, stub, dir, state, state.exec);
  dir.awaitExec();
  runPoststart(carriers, pidfd, state);
  return 0;
};
