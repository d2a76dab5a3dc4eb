/**
 * The namespaces of a process that is held: never those of whoever has its number by now (containerd #9218).
 *
 * @module
 */
import type { Kernel } from "./kernel.ts";
import type { Pidfd } from "./pidfd.ts";
import { close, ioctl, openat } from "./syscalls/file.ts";
import { pidfd_send_signal } from "./syscalls/process.ts";
import { named } from "./show.ts";
import { AT_FDCWD, O } from "./abi/file_flags.ts";
import { PIDFD } from "./abi/process_flags.ts";
import { isSyscallError } from "./syscall_error.ts";

/** The ioctl for each entry of /proc/PID/ns. */
const REQUESTS = {
  cgroup: PIDFD.PIDFD_GET_CGROUP_NAMESPACE,
  ipc: PIDFD.PIDFD_GET_IPC_NAMESPACE,
  mnt: PIDFD.PIDFD_GET_MNT_NAMESPACE,
  net: PIDFD.PIDFD_GET_NET_NAMESPACE,
  pid: PIDFD.PIDFD_GET_PID_NAMESPACE,
  pid_for_children: PIDFD.PIDFD_GET_PID_FOR_CHILDREN_NAMESPACE,
  time: PIDFD.PIDFD_GET_TIME_NAMESPACE,
  time_for_children: PIDFD.PIDFD_GET_TIME_FOR_CHILDREN_NAMESPACE,
  user: PIDFD.PIDFD_GET_USER_NAMESPACE,
  uts: PIDFD.PIDFD_GET_UTS_NAMESPACE,
} as const;

/** A namespace of a process, as /proc/PID/ns calls it. */
export type NamespaceEntry = keyof typeof REQUESTS;

/** How a namespace is opened: by the pidfd alone (kernel 6.11), or by /proc and a check afterwards. */
export type NamespaceRung = "pidfd" | "proc";

/**
 * A descriptor of a namespace of a process, close-on-exec, owned by the caller.
 * @param best The highest rung to take: for tests, which must see the lower one work.
 * @throws SyscallError ESRCH when the process has ended; EPERM or EACCES without ptrace access to it; EOPNOTSUPP or
 * ENOENT when the kernel has no such namespaces.
 */
export function openNamespace(
  kernel: Kernel,
  pidfd: Pidfd,
  entry: NamespaceEntry,
  best: NamespaceRung = "pidfd",
): number {
  if (best === "pidfd") {
    try {
      return kernel.call(ioctl(pidfd.fd, named(REQUESTS[entry], PIDFD)));
    } catch (error) {
      // Before 6.11: pidfds have no ioctls (ENOTTY), or not this one (EINVAL).
      if (!isSyscallError(error, "ENOTTY", "EINVAL")) throw error;
    }
  }
  return openInProc(kernel, pidfd, entry);
}

function openInProc(kernel: Kernel, pidfd: Pidfd, entry: NamespaceEntry): number {
  let fd: number;
  try {
    fd = kernel.call(openat(AT_FDCWD, `/proc/${pidfd.pid}/ns/${entry}`, O.O_RDONLY));
  } catch (error) {
    // Gone (ENOENT), or a zombie or a stranger: the process itself is asked first.
    kernel.call(pidfd_send_signal(pidfd.fd, 0));
    throw error;
  }
  try {
    // The number was its number while the file was opened only if the process still has not been reaped.
    kernel.call(pidfd_send_signal(pidfd.fd, 0));
    return fd;
  } catch (error) {
    kernel.call(close(fd));
    throw error;
  }
}
