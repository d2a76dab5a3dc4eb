import type { Kernel } from "../../ffi/kernel.ts";
import { attempt } from "../../ffi/call.ts";
import { readFile } from "../../ffi/files.ts";
import { AT_FDCWD, FS_MAGIC, O, RESOLVE } from "../../ffi/abi/file_flags.ts";
import { isSyscallError, type SyscallError } from "../../ffi/syscall_error.ts";
import { close, fstatfs, openat, openat2, statx, write } from "../../ffi/syscalls/file.ts";
import { CommandError } from "../cli/command_error.ts";
import type { PreparedMount } from "../rootfs/mounts.ts";
import type { Process, Spec } from "../spec/types.ts";
import { ValidationError } from "../spec/validation_error.ts";

const APPARMOR = "/sys/module/apparmor/parameters/enabled";
const SELINUX = "/sys/fs/selinux/enforce";

/** The attributes of the calling process, in /proc; the first is there from kernel 5.8 on, when LSMs got places of their own. */
const APPARMOR_EXEC = "self/attr/apparmor/exec";
const EXEC = "self/attr/exec";
const HOW = {
  flags: O.O_WRONLY,
  resolve: RESOLVE.RESOLVE_BENEATH | RESOLVE.RESOLVE_NO_XDEV | RESOLVE.RESOLVE_NO_MAGICLINKS,
};

/** File systems on which SELinux takes no context at the mount: it labels their files by itself. */
const LABELLED_BY_KERNEL: ReadonlySet<string> = new Set(["proc", "sysfs", "cgroup", "mqueue"]);

/**
 * Whether the kernel can do what is asked of it, before anything is made.
 * @throws ValidationError naming the field.
 */
export function checkLabels(
  thread: Kernel,
  process: Pick<Process, "apparmorProfile" | "selinuxLabel">,
  mountLabel?: string,
): void {
  const { apparmorProfile, selinuxLabel } = process;
  if (apparmorProfile !== undefined && !hasAppArmor(thread)) {
    throw new ValidationError("process.apparmorProfile", "this kernel does not use AppArmor");
  }
  if (selinuxLabel === undefined && mountLabel === undefined) return;
  if (!(thread.call(attempt(statx(AT_FDCWD, SELINUX, 0))) instanceof Error)) return;
  const field = selinuxLabel === undefined ? "linux.mountLabel" : "process.selinuxLabel";
  throw new ValidationError(field, "this kernel does not use SELinux");
}

function hasAppArmor(thread: Kernel): boolean {
  try {
    return readFile(thread, AT_FDCWD, APPARMOR).startsWith("Y");
  } catch (error) {
    if (isSyscallError(error, "ENOENT")) return false;
    throw error;
  }
}

/**
 * Tells the kernel under which profile and label the next execve of a process is; nothing but its program is executed
 * afterwards. It is told by the /proc that the process sees: the host's, or with `exec` the container's, so that this
 * is a procfs is checked, and nothing that is mounted into it is believed (CVE-2019-16884, CVE-2025-52881).
 * @throws CommandError naming the field, when there is no such profile or label.
 */
export function labelProcess(
  kernel: Kernel,
  { apparmorProfile, selinuxLabel }: Pick<Process, "apparmorProfile" | "selinuxLabel">,
): void {
  if (apparmorProfile !== undefined) {
    const field = `process.apparmorProfile: ${apparmorProfile}`;
    tell(kernel, field, [APPARMOR_EXEC, EXEC], `exec ${apparmorProfile}`);
  }
  if (selinuxLabel !== undefined) {
    tell(kernel, `process.selinuxLabel: ${selinuxLabel}`, [EXEC], selinuxLabel);
  }
}

/** Writes a text to the first of some files of /proc that is there. */
function tell(kernel: Kernel, field: string, paths: readonly string[], text: string): void {
  const proc = kernel.call(attempt(openat(AT_FDCWD, "/proc", O.O_PATH | O.O_DIRECTORY)));
  if (proc instanceof Error) throw cannotBeApplied(field, proc);
  if (kernel.call(fstatfs(proc)).type !== FS_MAGIC.PROC_SUPER_MAGIC) {
    throw new CommandError(`${field} cannot be applied: there is no procfs at /proc`);
  }
  let missing: SyscallError | undefined;
  for (const path of paths) {
    const fd = kernel.call(attempt(openat2(proc, path, HOW)));
    if (fd instanceof Error) {
      if (!fd.is("ENOENT")) throw cannotBeApplied(field, fd);
      missing = fd;
      continue;
    }
    const [written] = kernel.batch([attempt(write(fd, text)), close(fd), close(proc)]);
    if (written instanceof Error) throw cannotBeApplied(field, written);
    return;
  }
  throw cannotBeApplied(field, missing);
}

function cannotBeApplied(field: string, cause: SyscallError | undefined): CommandError {
  return new CommandError(`${field} cannot be applied`, { cause });
}

/** The mounts with `linux.mountLabel`, as an option of those whose file system takes one. */
export function labelMounts(
  mounts: readonly PreparedMount[],
  label: Spec["linux"]["mountLabel"],
): readonly PreparedMount[] {
  if (label === undefined) return mounts;
  return mounts.map((prepared) => {
    const { mount } = prepared;
    const { parsed, type = "none" } = mount;
    if (parsed.bind || LABELLED_BY_KERNEL.has(type)) return prepared;
    const data = [...parsed.data, `context="${label}"`];
    return { ...prepared, mount: { ...mount, parsed: { ...parsed, data } } };
  });
}
