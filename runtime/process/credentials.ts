import { attempt, type Call } from "../../ffi/call.ts";
import { chdir, getcwd, umask } from "../../ffi/syscalls/file.ts";
import { prctl } from "../../ffi/syscalls/process.ts";
import { setgroups, setresgid, setresuid } from "../../ffi/syscalls/credentials.ts";
import { PR } from "../../ffi/abi/process_flags.ts";
import { SyscallError } from "../../ffi/syscall_error.ts";
import { CommandError } from "../cli/command_error.ts";
import { dropBounding, setCapabilities, wantedCapabilities } from "../security/capabilities.ts";
import type { Process } from "../spec/types.ts";

const DEFAULT_UMASK = 0o022;

/** What of `process` says who a program is. */
export type Credentials = Pick<Process, "user" | "capabilities" | "noNewPrivileges" | "cwd">;

/** An attempt to go to `process.cwd`, and where that led. */
type CwdAttempt = readonly [Call<void | SyscallError>, Call<string | SyscallError>];

function cwdAttempt(cwd: string): CwdAttempt {
  return [attempt(chdir(cwd)), attempt(getcwd())];
}

/**
 * The last steps of the container's process before its program: takes on the user, the groups and the capabilities for
 * good, and goes to its working directory, as root, and once more as the user (root_squash may keep root out).
 * Nothing is sent yet; `check` is to be called with the results.
 * @param filtered Whether a system call filter is to be installed afterwards: without no_new_privs that takes
 * CAP_SYS_ADMIN, and so it stays until execve.
 */
export function credentialCalls(
  process: Credentials,
  last: number,
  mayGroup: boolean,
  filtered: boolean,
): { calls: Call<unknown>[]; check: (results: readonly unknown[]) => void } {
  const { user, capabilities, noNewPrivileges, cwd } = process;
  const wanted = wantedCapabilities(capabilities);
  const calls = [
    ...cwdAttempt(cwd),
    ...(noNewPrivileges ? [prctl(PR.PR_SET_NO_NEW_PRIVS, 1)] : []),
    ...dropBounding(wanted, last),
    prctl(PR.PR_SET_KEEPCAPS, 1),
    ...(mayGroup || user.additionalGids.length > 0 ? [setgroups(user.additionalGids)] : []),
    setresgid(user.gid),
    setresuid(user.uid),
    prctl(PR.PR_SET_KEEPCAPS, 0),
    ...setCapabilities(wanted, filtered && !noNewPrivileges),
    prctl(PR.PR_SET_DUMPABLE, 0),
    umask(user.umask ?? DEFAULT_UMASK),
    ...cwdAttempt(cwd),
  ];
  return {
    calls,
    check: (results) => checkCwd(results.slice(0, 2), results.slice(calls.length - 2)),
  };
}

/** @throws CommandError when neither attempt led there, or where it led lies outside the container (CVE-2024-21626). */
function checkCwd(asRoot: readonly unknown[], asUser: readonly unknown[]): void {
  const [rootError] = asRoot;
  const [userError] = asUser;
  if (rootError instanceof SyscallError && userError instanceof SyscallError) {
    const cause = rootError.is("EACCES") ? userError : rootError;
    throw new CommandError("process.cwd: cannot chdir", { cause });
  }
  const [, where] = userError instanceof SyscallError ? asRoot : asUser;
  if (typeof where === "string" && where.startsWith("/")) return;
  // getcwd(2) says ENOENT for a directory that no path leads to.
  if (where instanceof SyscallError && !where.is("ENOENT")) {
    throw new CommandError("process.cwd: cannot see where it is", { cause: where });
  }
  throw new CommandError(
    "process.cwd: current working directory is outside of container mount namespace root",
  );
}
