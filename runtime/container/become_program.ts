import type { Carriers, Remote } from "../../ffi/remote.ts";
import { execve } from "../../ffi/syscalls/process.ts";
import { strerror } from "../../ffi/abi/errno.ts";
import { SyscallError } from "../../ffi/syscall_error.ts";
import { CommandError } from "../cli/command_error.ts";
import { setLimits } from "../process/rlimits.ts";
import { closeOnExec } from "../process/stdio.ts";
import type { StateDir } from "../state/state_dir.ts";
import type { StateFile } from "../state/state_file.ts";
import type { HookState } from "../hooks/run_hooks.ts";
import { hookState } from "./hook_state.ts";

/** What a stub becomes. */
export type Program = NonNullable<StateFile["exec"]> & Pick<StateFile, "preserveFds">;

/**
 * The last batch of a process of a container, its first one or one that `exec` adds: its limits, its system call
 * filter, and the program in the stub's place. The errno of execve is in the stub's answer, so a failure is the
 * caller's to report and no log line inside of a container.
 * @param dir The container's directory, where its filter is kept.
 * @param status What the container is meanwhile, for who listens to its filter.
 * @throws CommandError in runc's words, which clients read 126 and 127 from.
 */
export async function becomeProgram(
  { thread }: Carriers,
  stub: Remote,
  program: Program,
  { dir, state, status }: {
    readonly dir: StateDir;
    readonly state: StateFile;
    readonly status: HookState["status"];
  },
): Promise<void> {
  const limits = program.rlimits.map(({ type, soft, hard }) => ({
    ...{ type, soft: BigInt(soft), hard: BigInt(hard) },
  }));
  const calls = [closeOnExec(program.preserveFds), ...setLimits(limits)];
  const last = execve(program.path, program.args, program.env);
  const { seccomp } = state;
  try {
    if (seccomp === undefined) stub.exec([...calls, last]);
    else {
      const { execFiltered } = await import("../seccomp/exec_filtered.ts");
      const container = hookState(state, status, state.init?.pid);
      const filter = dir.readFilter();
      execFiltered(thread, stub, [...calls, last], { ...seccomp, filter, container });
    }
  } catch (cause) {
    if (!(cause instanceof SyscallError) || cause.syscall !== "execve") throw cause;
    const problem = strerror(cause.errno);
    throw new CommandError(
      `unable to start container process: exec: ${JSON.stringify(program.path)}: ${problem}`,
    );
  }
}
