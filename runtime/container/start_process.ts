import type { Carriers, Remote } from "../../ffi/remote.ts";
import { getpid } from "../../ffi/syscalls/process.ts";
import { SIGNAL } from "../../ffi/abi/signals.ts";
import { inContainer, inRuntime, runHooks } from "../hooks/run_hooks.ts";
import type { StateDir } from "../state/state_dir.ts";
import type { StateFile } from "../state/state_file.ts";
import { becomeProgram } from "./become_program.ts";
import { hookState } from "./hook_state.ts";

/**
 * The last steps: startContainer hooks in the container, then the program replaces the stub.
 * @throws CommandError as `becomeProgram`.
 */
export async function startProcess(
  carriers: Carriers,
  init: Remote,
  dir: StateDir,
  state: StateFile,
  exec: NonNullable<StateFile["exec"]>,
): Promise<void> {
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
  await becomeProgram(carriers, init, { ...exec, preserveFds: state.preserveFds }, {
    ...{ dir, state, status: "created" },
  });
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
