import type { Kernel } from "../../ffi/kernel.ts";
import { attempt, type Call } from "../../ffi/call.ts";
import { faccessat2, statx } from "../../ffi/syscalls/file.ts";
import { AT, AT_FDCWD, S_IF } from "../../ffi/abi/file_flags.ts";
import { SyscallError } from "../../ffi/syscall_error.ts";
import { strerror } from "../../ffi/abi/errno.ts";
import { CommandError } from "../cli/command_error.ts";

const X_OK = 1;

/**
 * Finds what `process.args[0]` names, as execvp(3) would, in the process's own root and with its own credentials, so
 * that `create` can already tell that it is not there. The texts are runc's (that is, Go's os/exec): docker, podman and
 * containerd read 126 and 127 out of them.
 * @returns A path for execve(2).
 */
export function findExecutable(kernel: Kernel, name: string, env: readonly string[]): string {
  const { calls, choose } = executableCalls(name, env);
  return choose(kernel.batch(calls));
}

/** The calls that look for it, and what their results say: a path for execve(2). @throws CommandError by `choose`. */
export function executableCalls(
  name: string,
  env: readonly string[],
): { calls: Call<unknown>[]; choose: (results: readonly unknown[]) => string } {
  const candidates = name.includes("/") ? [name] : searchPath(env).map((dir) => `${dir}/${name}`);
  const calls = candidates.flatMap((path) => [
    attempt(statx(AT_FDCWD, path, 0)),
    attempt(faccessat2(AT_FDCWD, path, X_OK, AT.AT_EACCESS)),
  ]);
  return { calls, choose: (results) => choose(name, candidates, results) };
}

function choose(name: string, candidates: readonly string[], results: readonly unknown[]): string {
  let denied: CommandError | undefined;
  for (const [i, path] of candidates.entries()) {
    const problem = problemWith(results[i * 2], results[i * 2 + 1]);
    if (problem === undefined) return path;
    if (name.includes("/")) {
      throw notExecutable(name, `${statText(results[i * 2], path)}${problem}`);
    }
    if (problem === strerror(13)) denied ??= notExecutable(name, problem);
  }
  throw denied ?? notExecutable(name, "executable file not found in $PATH");
}

/** The directories of PATH; an empty one is the working directory, as in execvp(3). */
function searchPath(env: readonly string[]): string[] {
  const path = env.findLast((each) => each.startsWith("PATH="))?.slice("PATH=".length);
  return path === undefined || path === "" ? [] : path.split(":").map((dir) => dir || ".");
}

function notExecutable(name: string, problem: string): CommandError {
  return new CommandError(
    `unable to start container process: exec: ${JSON.stringify(name)}: ${problem}`,
  );
}

function statText(stat: unknown, path: string): string {
  return stat instanceof SyscallError ? `stat ${path}: ` : "";
}

function problemWith(stat: unknown, access: unknown): string | undefined {
  if (stat instanceof SyscallError) return strerror(stat.errno);
  const mode = typeof stat === "object" && stat !== null && "mode" in stat ? Number(stat.mode) : 0;
  if ((mode & S_IF.S_IFMT) === S_IF.S_IFDIR) {
    // runc's text depends on the Go that it was built with: the one or the other. Clients look for either.
    return `is a directory: ${strerror(13)}`;
  }
  if ((mode & S_IF.S_IFMT) !== S_IF.S_IFREG) return strerror(13);
  return access instanceof SyscallError ? strerror(access.errno) : undefined;
}
