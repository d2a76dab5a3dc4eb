import type { Run } from "../cli/command.ts";
import { CommandError } from "../cli/command_error.ts";
import { containerId } from "../cli/container_id.ts";
import { parseSignal, SIGNAL } from "../../ffi/abi/signals.ts";
import { endsCreated } from "../container/ends_created.ts";
import { thaw } from "../container/frozen.ts";
import { seeContainer } from "../container/status.ts";
import { signalCgroup } from "../cgroup/processes.ts";
import { StateDir } from "../state/state_dir.ts";
import { hostThread } from "./host_thread.ts";

/**
 * `belay kill`: signals the container's first process by its pidfd, or with `--all` every process in its cgroups.
 * One that is only created is ended by what would end runc's (docs/decisions/0019-kill-of-a-created-container.md).
 * A container that has stopped is an error, as the specification demands (runtime.md, "Kill"); one that ends between
 * the look and the signal is not.
 */
export const run: Run = ({ globals, flags, args }) => {
  const thread = hostThread();
  const [id = "", name = "SIGTERM"] = args;
  // 0 is no signal: kill(2) only looks whether anybody is there, and so does runc's.
  const signal = name === "0" ? 0 : parseSignal(name);
  if (signal === undefined) {
    throw new CommandError(
      `unknown signal ${
        JSON.stringify(name)
      }; a number from 0 to 64, or a name such as KILL or SIGTERM, is allowed`,
    );
  }
  using dir = StateDir.expect(thread, globals.root, containerId(id));
  const state = dir.read();
  const seen = seeContainer(thread, dir, state);
  using init = seen.init;
  if (seen.status === "created" && state?.ownPidNamespace && endsCreated(signal)) {
    // Whoever starts it at this moment is waited for: then it is the program that is to be signalled.
    if (!dir.lockOrGone()) return 0;
    if (dir.execLockHeld()) {
      init?.signal(SIGNAL.SIGKILL);
      return 0;
    }
  }
  if (flags.bool("all")) {
    signalCgroup(thread, state?.cgroups ?? [], signal);
    return 0;
  }
  if (init === undefined) throw new CommandError("container not running");
  init.signal(signal);
  // A frozen process of cgroup v1 cannot die before it is thawed.
  if (signal === SIGNAL.SIGKILL) thaw(thread, state);
  return 0;
};
