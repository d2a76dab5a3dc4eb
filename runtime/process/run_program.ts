import type { Kernel } from "../../ffi/kernel.ts";
import type { Pidfd } from "../../ffi/pidfd.ts";
import type { Carriers, Remote } from "../../ffi/remote.ts";
import { tolerate } from "../../ffi/call.ts";
import { readFile } from "../../ffi/files.ts";
import { close_range } from "../../ffi/syscalls/file.ts";
import { execve, type ExitStatus, prctl } from "../../ffi/syscalls/process.ts";
import { AT_FDCWD, CLOSE_RANGE_CLOEXEC } from "../../ffi/abi/file_flags.ts";
import { ERRNO, strerror } from "../../ffi/abi/errno.ts";
import { PR } from "../../ffi/abi/process_flags.ts";
import { SIGNAL } from "../../ffi/abi/signals.ts";
import { isSyscallError, type SyscallError } from "../../ffi/syscall_error.ts";
import { StubGone } from "../../ffi/stub.ts";
import { CommandError } from "../cli/command_error.ts";
import { forwardSignals } from "./foreground.ts";

/** A shell's exit codes for a program that is not there, and for one that cannot be executed. */
const NOT_FOUND = 127;
const NOT_EXECUTABLE = 126;
/** A shell's exit code for a process that a signal ended. */
const SIGNAL_BASE = 128;
/** Where execvp(3) looks when there is no PATH (confstr(3), _CS_PATH). */
const DEFAULT_PATH = "/bin:/usr/bin";
/** How long this thread itself waits first: for a short program no thread is started to wait with. */
const PATIENCE_MS = 5;

/** Job control: a shell stops and continues belay and its program together, by their process group. */
const JOB_CONTROL = ["SIGTSTP", "SIGCONT", "SIGTTIN", "SIGTTOU", "SIGWINCH"] as const;
/** A terminal sends these to all of its foreground process group, which is the program's, too. */
const TYPED = ["SIGINT", "SIGQUIT"] as const;

/**
 * Makes a stub a program that works in belay's place: with its descriptors 0 to 2, its working directory, its terminal
 * and process group; it gets belay's signals, and SIGKILL when belay is killed.
 * @param stub A child of belay's, where the program is to run.
 * @returns How it ended.
 * @throws CommandError with a shell's exit code when it cannot be executed.
 */
export async function runProgram(
  thread: Kernel,
  stub: Remote,
  argv: readonly string[],
  env: readonly string[],
): Promise<ExitStatus> {
  const { pidfd } = stub;
  const terminal = processGroups(thread).terminal;
  // Before execve: a signal that comes with the program's first word is handed on, too.
  using _typed = terminal ? forwardTyped(thread, pidfd) : undefined;
  using _forwarding = forwardSignals(thread, pidfd, terminal ? [...JOB_CONTROL, ...TYPED] : []);
  try {
    become(stub, argv, env);
  } catch (error) {
    if (!(error instanceof StubGone)) throw error;
    return pidfd.reap(); // of a signal that was handed on before the program had begun
  }
  if (!pidfd.waitSync(PATIENCE_MS)) await pidfd.wait();
  return pidfd.reap();
}

/**
 * `runProgram` in a stub of its own, with belay's environment.
 * @param enter Brings the stub to where the program is to run.
 * @throws What `enter` throws; then nothing runs.
 */
export async function runInStub(
  carriers: Carriers,
  label: string,
  enter: (stub: Remote) => void,
  argv: readonly string[],
): Promise<ExitStatus> {
  const env = Object.entries(Deno.env.toObject()).map(([name, value]) => `${name}=${value}`);
  using stub = carriers.spawn(label);
  using _pidfd = stub.pidfd;
  try {
    enter(stub);
    return await runProgram(carriers.thread, stub, argv, env);
  } catch (error) {
    end(stub);
    throw error;
  }
}

/** A program's end as a shell's exit code: 128+n when signal n ended it. */
export function exitCodeOf({ code, signal = 0 }: ExitStatus): number {
  return code ?? SIGNAL_BASE + signal;
}

/** Hands SIGINT and SIGQUIT on where the terminal that belay has did not send them to the program as well. */
function forwardTyped(thread: Kernel, pidfd: Pidfd): Disposable {
  const handlers = TYPED.map((name) => {
    const handler = () => {
      if (!processGroups(thread).foreground) pidfd.signal(SIGNAL[name]);
    };
    Deno.addSignalListener(name, handler);
    return { name, handler };
  });
  return {
    [Symbol.dispose]() {
      for (const { name, handler } of handlers) Deno.removeSignalListener(name, handler);
    },
  };
}

/** After a failure: whether it still is a stub or the program already, it must not go on alone. */
function end(stub: Remote): void {
  try {
    stub[Symbol.dispose]();
    stub.pidfd.signal(SIGNAL.SIGKILL);
    stub.pidfd.reap();
  } catch {
    // The error that is told is the one that came first; a zombie stays at most until belay ends.
  }
}

/** Whether belay has a controlling terminal, and is in that one's foreground (proc_pid_stat(5)). */
function processGroups(thread: Kernel): { terminal: boolean; foreground: boolean } {
  const stat = readFile(thread, AT_FDCWD, "/proc/self/stat");
  const [, , group, , terminal, foreground] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return { terminal: terminal !== "0", foreground: terminal !== "0" && group === foreground };
}

/** execvp(3), in the stub. @throws CommandError */
function become(stub: Remote, argv: readonly string[], env: readonly string[]): void {
  const [name = ""] = argv;
  // A request of its own: with the last one a belay that was killed meanwhile would not be seen any more.
  stub.call(prctl(PR.PR_SET_PDEATHSIG, SIGNAL.SIGKILL));
  let denied: SyscallError | undefined;
  for (const path of candidates(name, env)) {
    const error = tryExecute(stub, path, argv, env);
    if (error === undefined) return;
    if (error.is("ENOEXEC")) {
      // A script without a first line that says whose.
      const script = tryExecute(stub, "/bin/sh", ["/bin/sh", path, ...argv.slice(1)], env);
      if (script === undefined) return;
      throw notExecuted(name, script);
    }
    if (error.is("EACCES")) denied ??= error;
    else if (!error.is("ENOENT", "ENOTDIR")) throw notExecuted(name, error);
  }
  throw notExecuted(name, denied);
}

function candidates(name: string, env: readonly string[]): string[] {
  if (name === "" || name.includes("/")) return [name];
  const path = env.findLast((each) => each.startsWith("PATH="))?.slice("PATH=".length);
  return (path ?? DEFAULT_PATH).split(":").map((dir) => `${dir || "."}/${name}`);
}

/** The error of execve(2); undefined when the stub is the program. @throws SyscallError of the calls before it. */
function tryExecute(
  stub: Remote,
  path: string,
  argv: readonly string[],
  env: readonly string[],
): SyscallError | undefined {
  const closed = tolerate(
    close_range(3, 0xffffffff, CLOSE_RANGE_CLOEXEC),
    ["ENOSYS", "EINVAL"],
    "before 5.9 or 5.11; every descriptor of ours is close-on-exec from birth",
  );
  try {
    stub.exec([closed, execve(path, argv, env)]);
    return undefined;
  } catch (error) {
    if (isSyscallError(error) && error.syscall === "execve") return error;
    throw error;
  }
}

function notExecuted(name: string, error: SyscallError | undefined): CommandError {
  const errno = error?.errno ?? ERRNO.ENOENT;
  const exitCode = errno === ERRNO.ENOENT ? NOT_FOUND : NOT_EXECUTABLE;
  return new CommandError(`exec: ${JSON.stringify(name)}: ${strerror(errno)}`, { exitCode });
}
