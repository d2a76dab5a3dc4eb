import type { Carriers, Remote } from "../../ffi/remote.ts";
import { execve, getpid } from "../../ffi/syscalls/process.ts";
import { SIGNAL } from "../../ffi/abi/signals.ts";
import { strerror } from "../../ffi/abi/errno.ts";
import { SyscallError } from "../../ffi/syscall_error.ts";
import { CommandError } from "../cli/command_error.ts";
import { inContainer, inRuntime, runHooks } from "../hooks/run_hooks.ts";
import { setLimits } from "../process/rlimits.ts";
import type { StateFile } from "../state/state_file.ts";
import { closeOnExec } from "./init_stub.ts";
import { hookState } from "./set_up_init.ts";

/**
 * The last steps: startContainer hooks in the container, then the program replaces the stub. The errno of execve is in
 * the stub's answer, so a failure is the caller's to report and no log line inside of a container.
 * @throws CommandError in runc's words, which clients read 126 and 127 from.
 */
export function startProcess(
  carriers: Carriers,
  init: Remote,
  state: StateFile,
  exec: NonNullable<StateFile["exec"]>,
): void {
  const { startContainer } = state.hooks;
  if (startContainer.length > 0) {
    const inside = hookState(state, "created", init.call(getpid()));
    runHooks(
      carriers.thread,
      inContainer(init, exec.env),
      "startContainer",
      startContainer,
      inside,
    );
  }
  const limits = exec.rlimits.map(({ type, soft, hard }) => ({
    ...{ type, soft: BigInt(soft), hard: BigInt(hard) },
  }));
  try {
    init.exec([
      closeOnExec(state.preserveFds),
      ...setLimits(limits),
      execve(exec.path, exec.args, exec.env),
    ]);
  } catch (cause) {
    if (!(cause instanceof SyscallError) || cause.syscall !== "execve") throw cause;
    const problem = strerror(cause.errno);
    throw new CommandError(
      `unable to start container process: exec: ${JSON.stringify(exec.path)}: ${problem}`,
    );
  }
}

/** poststart hooks: the program runs. One that fails ends the container (runtime.md, "Lifecycle", 1.3). */
export function runPoststart(carriers: Carriers, init: Remote["pidfd"], state: StateFile): void {
  const { poststart } = state.hooks;
  if (poststart.length === 0) return;
  try {
    const running = hookState(state, "running", init.pid);
    runHooks(carriers.thread, inRuntime(carriers), "poststart", poststart, running);
  } catch (error) {
    init.signal(SIGNAL.SIGKILL);
    throw error;
  }
}
