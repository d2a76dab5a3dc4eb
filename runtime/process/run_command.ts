import type { Carriers, Remote } from "../../ffi/remote.ts";
import { tolerate } from "../../ffi/call.ts";
import { close_range } from "../../ffi/syscalls/file.ts";
import { execve } from "../../ffi/syscalls/process.ts";
import { CLOSE_RANGE_CLOEXEC } from "../../ffi/abi/file_flags.ts";
import { strerror } from "../../ffi/abi/errno.ts";
import { SyscallError } from "../../ffi/syscall_error.ts";
import { CommandError } from "../cli/command_error.ts";
import { findExecutable, NotExecutable } from "./find_executable.ts";
import { forwardSignals, waitForProcess } from "./foreground.ts";

/** What shells say of a program that is not there, and of one that cannot be executed. */
const NOT_FOUND = 127;
const NOT_EXECUTABLE = 126;
/** From a terminal these come to the whole process group: belay stops and goes on beside the command. */
const OF_THE_TERMINAL: readonly Deno.Signal[] = ["SIGTSTP", "SIGTTIN", "SIGTTOU"];

/**
 * Runs a program of the host in the foreground, with belay's standard descriptors, environment and directory, in
 * whatever namespaces `enter` puts it into. Signals of this process are handed on to it from before it is executed.
 * @param enter Makes the stub what the program is to be; called before the program is looked for.
 * @returns The program's exit code, or 128+n when signal n ended it.
 * @throws CommandError with exit code 127 or 126 when there is no such program, or it cannot be executed.
 */
export async function runCommand(
  carriers: Carriers,
  args: readonly string[],
  enter: (stub: Remote) => void,
): Promise<number> {
  const [name = ""] = args;
  const env = Object.entries(Deno.env.toObject()).map(([key, value]) => `${key}=${value}`);
  using stub = carriers.spawn("command");
  using pidfd = stub.pidfd;
  // Handlers run when this function waits, not before: what comes until then is handed on to the program.
  using _signals = forwardSignals(pidfd, OF_THE_TERMINAL);
  try {
    enter(stub);
    execute(stub, name, args, env);
  } catch (error) {
    stub[Symbol.dispose]();
    pidfd.reap();
    throw error;
  }
  return await waitForProcess(pidfd, {
    attach() {},
    drain: () => Promise.resolve(),
    [Symbol.dispose]() {},
  });
}

function execute(
  stub: Remote,
  name: string,
  args: readonly string[],
  env: readonly string[],
): void {
  const path = executable(stub, name, env);
  try {
    stub.exec([
      tolerate(
        close_range(3, 0xffffffff, CLOSE_RANGE_CLOEXEC),
        ["ENOSYS", "EINVAL"],
        "before 5.9 or 5.11; every descriptor of ours is close-on-exec from birth",
      ),
      execve(path, args, env),
    ]);
  } catch (cause) {
    if (!(cause instanceof SyscallError) || cause.syscall !== "execve") throw cause;
    const message = `exec: ${JSON.stringify(path)}: ${strerror(cause.errno)}`;
    throw new CommandError(message, { exitCode: NOT_EXECUTABLE });
  }
}

function executable(stub: Remote, name: string, env: readonly string[]): string {
  try {
    return findExecutable(stub, name, env);
  } catch (error) {
    if (!(error instanceof NotExecutable)) throw error;
    throw new CommandError(error.problem, { exitCode: error.missing ? NOT_FOUND : NOT_EXECUTABLE });
  }
}
