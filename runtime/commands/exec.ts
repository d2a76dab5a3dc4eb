import type { Pidfd } from "../../ffi/pidfd.ts";
import type { Kernel } from "../../ffi/kernel.ts";
import { SIGNAL } from "../../ffi/abi/signals.ts";
import type { Run } from "../cli/command.ts";
import { CommandError } from "../cli/command_error.ts";
import { containerId } from "../cli/container_id.ts";
import { execProcess, type RunningContainer } from "../container/exec_process.ts";
import { frozen } from "../container/frozen.ts";
import { seeContainer } from "../container/status.ts";
import { addedProcess } from "../process/added_process.ts";
import { type Foreground, waitForProcess } from "../process/foreground.ts";
import { sendPidfd } from "../process/pidfd_socket.ts";
import { runTerminal } from "../process/terminal.ts";
import { StateDir } from "../state/state_dir.ts";
import { writePidFile } from "../state/pid_file.ts";
import { hostCarriers } from "./host_carriers.ts";
import { passedDescriptors } from "./passed_descriptors.ts";

/**
 * `belay exec`: a program more in a container. In the foreground its exit code is belay's (128+n for a signal), and
 * belay's signals and terminal are the program's.
 */
export const run: Run = async ({ globals, flags, args, log }) => {
  const carriers = hostCarriers(globals);
  const { thread } = carriers;
  const detach = flags.bool("detach");
  const [id = "", ...argv] = args;
  using dir = StateDir.expect(thread, globals.root, containerId(id));
  const container = findRunning(thread, dir, flags.bool("ignore-paused"));
  using _init = container.init;
  const process = await addedProcess(container.state.process, flags, argv, log);
  using terminal = runTerminal(carriers, { detach, socket: flags.string("console-socket") });
  terminal.check(process);
  const pidfdSocket = flags.string("pidfd-socket");
  let foreground: Foreground | undefined;
  let added: Pidfd | undefined;
  try {
    added = await execProcess(carriers, container, {
      ...{ process, terminal },
      ...passedDescriptors(flags),
      cgroups: flags.strings("cgroup"),
      signalled: !detach,
      born(child) {
        if (pidfdSocket !== undefined) sendPidfd(thread, pidfdSocket, child, "setns");
        if (detach) return;
        foreground = terminal.foreground();
        foreground.listen(child);
      },
    });
    const pidFile = flags.string("pid-file");
    if (pidFile !== undefined) writePidFile(thread, pidFile, added.pid);
    return foreground === undefined ? 0 : await waitForProcess(added, foreground);
  } catch (error) {
    // Who runs a program in the foreground does not expect it to go on without belay.
    added?.signal(SIGNAL.SIGKILL);
    throw error;
  } finally {
    foreground?.[Symbol.dispose]();
    added?.[Symbol.dispose]();
  }
};

/** @throws CommandError in runc's words for a container that nothing can be added to. */
function findRunning(kernel: Kernel, dir: StateDir, ignorePaused: boolean): RunningContainer {
  const state = dir.read();
  const paused = ignorePaused ? undefined : () => frozen(kernel, state);
  const { status, init } = seeContainer(kernel, dir, state, paused);
  if (state !== undefined && init !== undefined && (status === "created" || status === "running")) {
    return { dir, state, init };
  }
  init?.[Symbol.dispose]();
  if (status === "paused") {
    throw new CommandError("cannot exec in a paused container (use --ignore-paused to override)");
  }
  throw new CommandError(
    status === "creating"
      ? "cannot exec in a container that is not whole: it is being created or deleted, or was left half-made"
      : "cannot exec in a stopped container",
  );
}
