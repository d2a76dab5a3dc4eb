import type { Run } from "../cli/command.ts";
import { StubGone } from "../../ffi/stub.ts";
import { abandon, createContainer } from "../container/create_container.ts";
import { destroyContainer } from "../container/destroy_container.ts";
import { runPoststart, startProcess } from "../container/start_process.ts";
import { type Foreground, waitForProcess } from "../process/foreground.ts";
import { sendPidfd } from "../process/pidfd_socket.ts";
import { runTerminal } from "../process/terminal.ts";
import { writePidFile } from "../state/pid_file.ts";
import { createRequest } from "./create_request.ts";
import { hostCarriers } from "./host_carriers.ts";

/**
 * `belay run`: create, start, wait, delete. In the foreground the container's exit code is belay's (128+n for a
 * signal), and belay's signals and terminal are the container's.
 */
export const run: Run = async (invocation) => {
  const { globals, flags, log } = invocation;
  const carriers = hostCarriers(globals);
  const { thread } = carriers;
  const detach = flags.bool("detach");
  using terminal = runTerminal(carriers, { detach, socket: flags.string("console-socket") });
  const created = await createContainer(carriers, createRequest(invocation, terminal), log);
  const { dir, init, state, exec } = created;
  using _dir = dir;
  using _init = init;
  using _pidfd = init.pidfd;
  let foreground: Foreground | undefined;
  try {
    const pidfdSocket = flags.string("pidfd-socket");
    if (pidfdSocket !== undefined) sendPidfd(thread, pidfdSocket, init.pidfd, "standard");
    const pidFile = flags.string("pid-file");
    if (pidFile !== undefined) writePidFile(thread, pidFile, init.pidfd.pid);
    foreground = detach ? undefined : terminal.foreground();
    foreground?.listen(init.pidfd);
    try {
      await startProcess(carriers, init, dir, state, exec);
    } catch (error) {
      // Of a signal that was handed on before the program had begun: it has ended, and is waited for below.
      if (!(error instanceof StubGone) || detach) throw error;
    }
    if (detach) dir.awaitExec(); // in the foreground nobody is told before it ends
    runPoststart(carriers, init.pidfd, state);
    dir.unlock();
  } catch (error) {
    foreground?.[Symbol.dispose]();
    await abandon(carriers, dir, [init], log);
    throw error;
  }
  if (foreground === undefined) return 0;
  using _foreground = foreground;
  let code;
  try {
    code = await waitForProcess(init.pidfd, foreground);
  } catch (error) {
    // Who runs a container in the foreground does not expect it to go on without belay.
    if (dir.lockOrGone()) await abandon(carriers, dir, [init], log);
    throw error;
  }
  // A `delete` that came first has done it, or is about to.
  if (!flags.bool("keep") && dir.lockOrGone()) await destroyContainer(carriers, dir, log);
  return code;
};
