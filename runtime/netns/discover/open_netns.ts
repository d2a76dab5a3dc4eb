import type { Call } from "../../../ffi/call.ts";
import type { Kernel } from "../../../ffi/kernel.ts";
import { AT, AT_FDCWD, O } from "../../../ffi/abi/file_flags.ts";
import { isSyscallError, type SyscallError } from "../../../ffi/syscall_error.ts";
import { RECORD } from "../../../ffi/task_iterators.ts";
import { close, openat, statx } from "../../../ffi/syscalls/file.ts";
import { pidfd_getfd, pidfd_open, pidfd_send_signal } from "../../../ffi/syscalls/process.ts";
import { pidfd_open_thread, socketNamespace } from "../../../ffi/syscalls/holder.ts";
import type { Netns } from "./discover.ts";

/** What became of an attempt to open a namespace. */
export type Opened =
  | { readonly fd: number }
  /** It, or what held it, is gone. */
  | "gone"
  /** Something holds it that may not be reached: why. */
  | { readonly error: SyscallError };

/**
 * Opens a namespace that was found, through whatever holds it, and sees to it that it is that one: holders may have
 * ended, moved on, or closed their descriptors since they were seen.
 * @param own Whether belay itself is in it.
 */
export function openNetns(kernel: Kernel, netns: Netns, own: boolean): Opened {
  let refused: SyscallError | undefined;
  for (const open of waysTo(kernel, netns, own)) {
    try {
      const fd = open();
      if (isIt(kernel, fd, netns)) return { fd };
    } catch (error) {
      if (!isSyscallError(error)) throw error;
      // Ended, closed, or something else by now: perhaps another holder is still there.
      if (!error.is("ENOENT", "ESRCH", "EBADF", "ENOTSOCK", "ENOTTY", "EINVAL")) refused ??= error;
    }
  }
  return refused === undefined ? "gone" : { error: refused };
}

/** Whether it is that namespace; else it is closed. */
function isIt(kernel: Kernel, fd: number, netns: Netns): boolean {
  let is = false;
  try {
    is = Number(kernel.call(statx(fd, "", AT.AT_EMPTY_PATH)).ino) === netns.inode;
  } finally {
    if (!is) kernel.call(close(fd));
  }
  return is;
}

/** A few ways, cheapest first; one process in a thousand is enough. */
function* waysTo(kernel: Kernel, netns: Netns, own: boolean): Generator<() => number> {
  const open = (path: string) => kernel.call(openat(AT_FDCWD, path, O.O_RDONLY));
  if (own) yield () => open("/proc/thread-self/ns/net");
  for (const { pid, tid } of netns.threads.slice(0, 3)) {
    yield () => open(`/proc/${pid}/task/${tid}/ns/net`);
  }
  for (const { path, through } of netns.mounts.slice(0, 3)) {
    yield () => open(`/proc/${through.pid}/task/${through.tid}/root${path}`);
  }
  for (const { kind, pid, tid, fd } of netns.descriptors.slice(0, 3)) {
    if (kind === "nsfs") {
      // Opened once more: whoever has it may have opened it with O_PATH, and such a one answers no question.
      yield () => copyOf(kernel, pid, tid, fd, (copy) => [open(`/proc/self/fd/${copy}`), copy]);
    }
    if (kind === "tun") yield () => throughSocket(kernel, pid, tid, fd);
  }
  for (const { pid, tid, piece, start } of netns.sockets.slice(0, 3)) {
    yield () => throughSocket(kernel, pid, tid, piece[start + RECORD.fd] ?? 0);
  }
}

function throughSocket(kernel: Kernel, pid: number, tid: number, fd: number): number {
  return copyOf(kernel, pid, tid, fd, (copy) => [kernel.call(socketNamespace(copy)), copy]);
}

/** Takes a copy of a descriptor, what is wanted of it, and asks whether its process was alive until then. */
function copyOf(
  kernel: Kernel,
  pid: number,
  tid: number,
  fd: number,
  use: (copy: number) => [wanted: number, rest: number],
): number {
  const pidfd = kernel.call(holderOf(pid, tid));
  let copy: number | undefined;
  let wanted: number | undefined;
  try {
    copy = kernel.call(pidfd_getfd(pidfd, fd));
    [wanted, copy] = use(copy);
    kernel.call(pidfd_send_signal(pidfd, 0));
    const result = wanted;
    wanted = undefined;
    return result;
  } finally {
    for (const each of [pidfd, copy, wanted]) {
      if (each !== undefined) kernel.call(close(each));
    }
  }
}

/** A pidfd of whoever has the table of descriptors: a thread, where it has one of its own. */
export function holderOf(pid: number, tid: number): Call<number> {
  return tid === pid ? pidfd_open(pid) : pidfd_open_thread(tid);
}
