/**
 * The three ways to recognise a process, best first. Each takes a mark of a process that is held, and opens a
 * process by such a mark.
 *
 * @module
 */
import { tolerate } from "./call.ts";
import type { Kernel } from "./kernel.ts";
import type { Pidfd } from "./pidfd.ts";
import { close, fstatfs, openat, read, statx } from "./syscalls/file.ts";
import { type FileHandle, name_to_handle_at, open_by_handle_at } from "./syscalls/handle.ts";
import { getpid, pidfd_open, pidfd_send_signal } from "./syscalls/process.ts";
import { AT, AT_FDCWD, FS_MAGIC, O } from "./abi/file_flags.ts";
import { isSyscallError } from "./syscall_error.ts";

/** What a process is recognised by: its pidfs file handle, its pidfs inode, its start time. */
export type Rung = "handle" | "inode" | "start time";

/** What was taken of a process, and on which rung. */
export interface Mark {
  /** On which rung. */
  readonly rung: Rung;
  /** What was taken: see `Identity`. */
  readonly mark: string;
  /** The number, where the lower rungs look. */
  readonly pid: number;
}

/** One way to recognise a process. */
export interface Recognition {
  /** The kernel that brought it. */
  readonly since: string;
  /** The mark, undefined where this kernel has none of the kind. */
  take(kernel: Kernel, pidfd: Pidfd): string | undefined;
  /** A pidfd; undefined when the process is gone; "refused" when this rung cannot tell here. */
  open(kernel: Kernel, mark: Mark): number | undefined | "refused";
}

/** The rungs in the order of preference. */
export const IDENTITY_LADDER: Readonly<Record<Rung, Recognition>> = {
  handle: { since: "6.14", take: takeHandle, open: openHandle },
  inode: { since: "6.9", take: takeInode, open: openInode },
  "start time": { since: "5.3", take: takeStartTime, open: openStartTime },
};

function takeHandle(kernel: Kernel, pidfd: Pidfd): string | undefined {
  try {
    const { type, bytes } = kernel.call(name_to_handle_at(pidfd.fd));
    return `${type}:${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  } catch (error) {
    // EOPNOTSUPP before 6.14; the others where a seccomp filter or a small kernel has no file handles.
    if (isSyscallError(error, "EOPNOTSUPP", "EPERM", "ENOSYS")) return undefined;
    throw error;
  }
}

function parseHandle(mark: string): FileHandle {
  const [, type, hex] = /^(\d+):((?:[0-9a-f]{2})+)$/.exec(mark) ?? [];
  if (type === undefined || hex === undefined) throw new TypeError(`${mark}: no file handle`);
  return {
    type: Number(type),
    // Without a global pattern, for which V8 would make machine code.
    bytes: Uint8Array.from(
      { length: hex.length / 2 },
      (_, at) => Number.parseInt(hex.slice(2 * at, 2 * at + 2), 16),
    ),
  };
}

function openHandle(kernel: Kernel, { mark }: Mark): number | undefined | "refused" {
  const handle = parseHandle(mark);
  // Any pidfd stands for the file system of all of them; FD_PIDFS_ROOT, which does too, came only with 6.17.
  const own = kernel.call(pidfd_open(kernel.call(getpid())));
  try {
    return kernel.call(tolerate(open_by_handle_at(own, handle), ["ESTALE"], "it has been reaped"));
  } catch (error) {
    if (isSyscallError(error, "EPERM", "EACCES", "ENOSYS", "EOPNOTSUPP")) return "refused"; // by a filter
    throw error;
  } finally {
    kernel.call(close(own));
  }
}

function takeInode(kernel: Kernel, pidfd: Pidfd): string | undefined {
  return inodeOf(kernel, pidfd.fd)?.toString();
}

/** The inode number of a pidfd, undefined where all pidfds share one anonymous inode. */
function inodeOf(kernel: Kernel, fd: number): bigint | undefined {
  if (kernel.call(fstatfs(fd)).type !== FS_MAGIC.PID_FS_MAGIC) return undefined;
  return kernel.call(statx(fd, "", AT.AT_EMPTY_PATH)).ino;
}

function openInode(kernel: Kernel, { rung, mark, pid }: Mark): number | undefined | "refused" {
  // A pidfs handle is the inode number (fs/pidfs.c, pidfs_encode_fh).
  const wanted = rung === "inode" ? BigInt(mark) : inodeIn(parseHandle(mark));
  if (wanted === undefined) return "refused";
  return openIf(kernel, pid, (fd) => inodeOf(kernel, fd) === wanted);
}

function inodeIn({ bytes }: FileHandle): bigint | undefined {
  if (bytes.length !== 8) return undefined;
  return new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
}

function takeStartTime(kernel: Kernel, pidfd: Pidfd): string {
  const time = startTime(kernel, pidfd.pid);
  // Only now is it known that what was read was about this process. @throws SyscallError ESRCH
  kernel.call(pidfd_send_signal(pidfd.fd, 0));
  if (time === undefined) {
    throw new Error(`/proc/${pidfd.pid}/stat is not there: is /proc mounted?`);
  }
  return time;
}

function openStartTime(kernel: Kernel, { rung, mark, pid }: Mark): number | undefined | "refused" {
  if (rung !== "start time") return "refused";
  return openIf(kernel, pid, (fd) => {
    const time = startTime(kernel, pid);
    try {
      kernel.call(pidfd_send_signal(fd, 0));
    } catch (error) {
      if (isSyscallError(error, "ESRCH")) return false; // reaped meanwhile: the time may be a successor's
      if (!isSyscallError(error, "EPERM")) throw error; // EPERM: it lives, and is not ours to signal
    }
    return time === mark;
  });
}

/** Field 22 of /proc/PID/stat (proc_pid_stat(5)): clock ticks after boot. Undefined when there is no such process. */
function startTime(kernel: Kernel, pid: number): string | undefined {
  try {
    const fd = kernel.call(openat(AT_FDCWD, `/proc/${pid}/stat`, O.O_RDONLY));
    try {
      const text = new TextDecoder().decode(kernel.call(read(fd, 4096)));
      // The second field, the program's name in brackets, may itself hold brackets and blanks.
      return text.slice(text.lastIndexOf(")") + 2).split(" ")[19];
    } finally {
      kernel.call(close(fd));
    }
  } catch (error) {
    if (isSyscallError(error, "ENOENT", "ESRCH")) return undefined; // gone before, or while it was read
    throw error;
  }
}

/** Opens a process by its number and keeps it only if it is the right one. */
function openIf(
  kernel: Kernel,
  pid: number,
  isRight: (fd: number) => boolean,
): number | undefined {
  let fd: number;
  try {
    fd = kernel.call(pidfd_open(pid));
  } catch (error) {
    // EINVAL, on newer kernels ENOENT: the number is today that of a thread that leads no process.
    if (isSyscallError(error, "ESRCH", "EINVAL", "ENOENT")) return undefined;
    throw error;
  }
  let right = false;
  try {
    right = isRight(fd);
    return right ? fd : undefined;
  } finally {
    if (!right) kernel.call(close(fd));
  }
}
