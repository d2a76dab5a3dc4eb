import type { Run } from "../cli/command.ts";
import { abandon, createContainer, leaveCreated } from "../container/create_container.ts";
import { consoleSocketTerminal } from "../process/console_socket.ts";
import { sendPidfd } from "../process/pidfd_socket.ts";
import { writePidFile } from "../state/pid_file.ts";
import { createRequest } from "./create_request.ts";
import { hostCarriers } from "./host_carriers.ts";

/** `belay create`: everything but the program. */
export const run: Run = async (invocation) => {
  const { globals, flags, log } = invocation;
  const carriers = hostCarriers(globals);
  const terminal = consoleSocketTerminal(carriers.thread, flags.string("console-socket"));
  const created = await createContainer(carriers, createRequest(invocation, terminal), log);
  const { dir, init } = created;
  try {
    const pidfdSocket = flags.string("pidfd-socket");
    if (pidfdSocket !== undefined) sendPidfd(carriers.thread, pidfdSocket, init.pidfd, "standard");
    const pidFile = flags.string("pid-file");
    if (pidFile !== undefined) writePidFile(carriers.thread, pidFile, init.pidfd.pid);
    leaveCreated(carriers, created);
  } catch (error) {
    await abandon(carriers, dir, [init], log);
    throw error;
  }
  dir[Symbol.dispose]();
  return 0;
};
