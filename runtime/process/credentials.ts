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

/** Calls that are not made yet, and what their outcome means. */
export interface CredentialCalls {
  readonly calls: Call<unknown>[];
  /** Looks at the results. @throws CommandError */
  readonly check: (results: readonly unknown[]) => void;
  /** The error that people are to see, for one that was thrown instead of results. */
  readonly explain: (cause: unknown) => unknown;
}

/**
 * The last steps of the container's process before its program: takes on the user, the groups and the capabilities for
 * good, and goes to its working directory, as root, and once more as the user (root_squash may keep root out).
 * @param filtered Whether a system call filter is to be installed afterwards: without no_new_privs that takes
 * CAP_SYS_ADMIN, and so it stays until execve.
 */
export function credentialCalls(
  process: Credentials,
  last: number,
  mayGroup: boolean,
  filtered: boolean,
): CredentialCalls {
  const { user, capabilities, noNewPrivileges, cwd } = process;
  const wanted = wantedCapabilities(capabilities);
  const ids = [setgroups(user.additionalGids), setresgid(user.gid), setresuid(user.uid)] as const;
  const [groups, gid, uid] = ids;
  const calls = [
    ...cwdAttempt(cwd),
    ...(noNewPrivileges ? [prctl(PR.PR_SET_NO_NEW_PRIVS, 1)] : []),
    ...dropBounding(wanted, last),
    prctl(PR.PR_SET_KEEPCAPS, 1),
    ...(mayGroup || user.additionalGids.length > 0 ? [groups] : []),
    gid,
    uid,
    prctl(PR.PR_SET_KEEPCAPS, 0),
    ...setCapabilities(wanted, filtered && !noNewPrivileges),
    prctl(PR.PR_SET_DUMPABLE, 0),
    umask(user.umask ?? DEFAULT_UMASK),
    ...cwdAttempt(cwd),
  ];
  return {
    calls,
    check: (results) => checkCwd(results.slice(0, 2), results.slice(calls.length - 2)),
    explain(cause) {
      if (!(cause instanceof SyscallError) || !cause.is("EINVAL")) return cause;
      const { additionalGids } = user;
      switch (cause.made) {
        case groups:
          return notMapped("additionalGids", `one of ${additionalGids.join(", ")}`, cause);
        case gid:
          return notMapped("gid", user.gid, cause);
        case uid:
          return notMapped("uid", user.uid, cause);
        default:
          return cause;
      }
    },
  };
}

/** For a user namespace that config.json does not describe: of a running container, or joined by its path. */
function notMapped(field: string, id: number | string, cause: SyscallError): CommandError {
  const problem = `${id} is not mapped in the container's user namespace`;
  return new CommandError(`process.user.${field}: ${problem}`, { cause });
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
