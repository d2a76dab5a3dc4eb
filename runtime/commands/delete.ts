import type { Run } from "../cli/command.ts";
import { CommandError } from "../cli/command_error.ts";
import { containerId } from "../cli/container_id.ts";
import { destroyContainer } from "../container/destroy_container.ts";
import { frozen } from "../container/frozen.ts";
import { seeContainer } from "../container/status.ts";
import { StateDir } from "../state/state_dir.ts";
import { hostCarriers } from "./host_carriers.ts";

/** `belay delete`: removes a container that has stopped, with `--force` any, also what is no whole container. */
export const run: Run = async ({ globals, flags, args, log }) => {
  const carriers = hostCarriers(globals);
  const { thread } = carriers;
  const id = containerId(args[0] ?? "");
  const force = flags.bool("force");
  const found = StateDir.open(thread, globals.root, id);
  if (found === undefined) {
    if (force) return 0; // containerd asks it of ids that it has deleted already
    throw new CommandError("container does not exist");
  }
  using dir = found;
  dir.lock();
  if (!force) refuseLiving(carriers.thread, dir);
  await destroyContainer(carriers, dir, log);
  return 0;
};

/** A created container has not run yet, and may be deleted, as with runc; a running one may not. */
function refuseLiving(thread: Parameters<typeof seeContainer>[0], dir: StateDir): void {
  const state = dir.read();
  const { status, init } = seeContainer(thread, dir, state, () => frozen(thread, state));
  using _init = init;
  if (status === "stopped" || status === "created") return;
  throw new CommandError(
    `cannot delete container ${dir.id} that is not stopped: ${status}`,
  );
}
