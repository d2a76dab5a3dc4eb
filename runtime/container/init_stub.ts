import type { Kernel } from "../../ffi/kernel.ts";
import { post } from "../../ffi/deferring.ts";
import { attempt, type Call, tolerate } from "../../ffi/call.ts";
import {
  chdir,
  close,
  close_range,
  dup3,
  fchown,
  fstatfs,
  getcwd,
  openat,
  openat2,
  statx,
  umask,
  write,
} from "../../ffi/syscalls/file.ts";
import { prctl, setsid } from "../../ffi/syscalls/process.ts";
import {
  joinSessionKeyring,
  setdomainname,
  sethostname,
  setKeyPermissions,
} from "../../ffi/syscalls/namespace.ts";
import { setgroups, setresgid, setresuid } from "../../ffi/syscalls/credentials.ts";
import {
  AT,
  AT_FDCWD,
  CLOSE_RANGE_CLOEXEC,
  FS_MAGIC,
  O,
  RESOLVE,
} from "../../ffi/abi/file_flags.ts";
import { PR } from "../../ffi/abi/process_flags.ts";
import { SyscallError } from "../../ffi/syscall_error.ts";
import { CommandError } from "../cli/command_error.ts";
import { ValidationError } from "../spec/validation_error.ts";
import type { Spec } from "../spec/types.ts";
import { sysctlPath } from "../spec/validate_sysctl.ts";
import { openInRoot } from "../rootfs/in_root.ts";
import { dropBounding, setCapabilities, wantedCapabilities } from "../security/capabilities.ts";

/** Possessor everything, user view, read and search (keyctl_setperm(3)), as runc grants. */
const KEYRING_PERMISSIONS = 0x3f0b0000;
const DEFAULT_UMASK = 0o022;

/** The first steps of the container's first process: a session of its own, and root in its user namespace. */
export function becomeInit(
  init: Kernel,
  id: string,
  options: { newKeyring: boolean; ownUserNamespace: boolean },
): void {
  const keyring = joinSessionKeyring(`_ses.${id}`);
  const noKeyrings = "a kernel without keyrings has none to share";
  post(init, [
    // Nobody in the container may look into it, or take its descriptors, while it holds any (CVE-2016-9962).
    prctl(PR.PR_SET_DUMPABLE, 0),
    prctl(PR.PR_SET_NAME, "belay-init"),
    setsid(),
    umask(0),
    ...(options.ownUserNamespace ? [setresgid(0), setresuid(0), prctl(PR.PR_SET_DUMPABLE, 0)] : []),
    ...(options.newKeyring
      ? [
        tolerate(keyring, ["ENOSYS"], noKeyrings),
        tolerate(setKeyPermissions(keyring, KEYRING_PERMISSIONS), ["ENOSYS"], noKeyrings),
      ]
      : []),
  ]);
}

/** `hostname` and `domainname`. */
export function setNames(init: Kernel, spec: Spec): void {
  post(init, [
    ...(spec.hostname === undefined ? [] : [sethostname(spec.hostname)]),
    ...(spec.domainname === undefined ? [] : [setdomainname(spec.domainname)]),
  ]);
}

/**
 * `linux.sysctl`, by the container's own /proc, or the host's where it has none. That it is a procfs is checked by
 * descriptor, and no link or mount is followed from there (CVE-2025-52881).
 */
export function setSysctls(init: Kernel, root: number, sysctl: Spec["linux"]["sysctl"]): void {
  const names = Object.keys(sysctl);
  if (names.length === 0) return;
  const sys = openProcSys(init, root);
  for (const name of names) {
    const opened = openat2(sys, sysctlPath(name), {
      flags: O.O_WRONLY,
      resolve: RESOLVE.RESOLVE_BENEATH | RESOLVE.RESOLVE_NO_SYMLINKS | RESOLVE.RESOLVE_NO_XDEV,
    });
    try {
      init.batch([opened, write(opened, sysctl[name] ?? ""), close(opened)]);
    } catch (cause) {
      if (!(cause instanceof SyscallError)) throw cause;
      const field = `linux.sysctl[${JSON.stringify(name)}]`;
      throw new ValidationError(field, `cannot be set to ${JSON.stringify(sysctl[name])}`, {
        cause,
      });
    }
  }
  init.call(close(sys));
}

function openProcSys(init: Kernel, root: number): number {
  const places = [
    openInRoot(root, "/proc/sys", O.O_PATH | O.O_DIRECTORY),
    openat(AT_FDCWD, "/proc/sys", O.O_PATH | O.O_DIRECTORY),
  ];
  for (const place of places) {
    const fd = init.call(attempt(place));
    if (fd instanceof Error) continue; // the container has no /proc
    if (init.call(fstatfs(fd)).type === FS_MAGIC.PROC_SUPER_MAGIC) return fd;
    init.call(close(fd));
  }
  throw new CommandError("linux.sysctl: neither the container nor the host has a procfs at /proc");
}

/** What of standard input, output and error must be changed for the container. */
export interface Stdio {
  /** Those that are the host's /dev/null: the container gets its own. */
  readonly devNull: readonly number[];
  /** Those whose owner becomes the container's user, so that it can open /dev/stdout by name. */
  readonly owned: readonly number[];
}

/** Looks at belay's own standard descriptors, which the container inherits. */
export function lookAtStdio(thread: Kernel, uid: number): Stdio {
  const stats = thread.batch([0, 1, 2].map((fd) => attempt(statx(fd, "", AT.AT_EMPTY_PATH))));
  const devNull: number[] = [];
  const owned: number[] = [];
  stats.forEach((stat, fd) => {
    if (stat instanceof Error) return; // closed by the caller: the container has none either
    if (stat.rdevMajor === 1 && stat.rdevMinor === 3) devNull.push(fd);
    else if (stat.uid !== uid) owned.push(fd);
  });
  return { devNull, owned };
}

/** Gives standard descriptors to the container's user, and its own /dev/null for the host's. */
export function adaptStdio(init: Kernel, root: number, stdio: Stdio, uid: number): void {
  post(
    init,
    stdio.owned.map((fd) =>
      tolerate(
        fchown(fd, uid, -1),
        ["EPERM", "EINVAL", "EROFS"],
        "a file that cannot change hands (of another user namespace, a read-only file system) still works by descriptor",
      )
    ),
  );
  if (stdio.devNull.length === 0) return;
  const opened = openInRoot(root, "/dev/null", O.O_RDWR | O.O_NOCTTY);
  const [fd, stat] = init.batch([attempt(opened), attempt(statx(opened, "", AT.AT_EMPTY_PATH))]);
  if (fd instanceof Error || stat instanceof Error) return; // no /dev/null inside: the host's stays
  const isNull = stat.rdevMajor === 1 && stat.rdevMinor === 3;
  post(init, [...(isNull ? stdio.devNull.map((each) => dup3(fd, each)) : []), close(fd)]);
}

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
  process: Spec["process"],
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

/** Marks everything but stdio and `preserve` descriptors beyond it close-on-exec. */
export function closeOnExec(preserve: number): Call<unknown> {
  return tolerate(
    close_range(3 + preserve, 0xffffffff, CLOSE_RANGE_CLOEXEC),
    ["ENOSYS", "EINVAL"],
    "before 5.9 or 5.11; every descriptor of ours is close-on-exec from birth",
  );
}
