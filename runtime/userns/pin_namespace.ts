import type { Kernel } from "../../ffi/kernel.ts";
import { attempt } from "../../ffi/call.ts";
import { close, flock, openat, statx, unlinkat } from "../../ffi/syscalls/file.ts";
import { bindNamespace } from "../../ffi/bind_namespace.ts";
import { AT, AT_FDCWD, LOCK, O, S_IF, STATX_ATTR_MOUNT_ROOT } from "../../ffi/abi/file_flags.ts";
import { isSyscallError } from "../../ffi/syscall_error.ts";
import { CommandError } from "../cli/command_error.ts";
import { sameFile } from "../netns/netns_directory.ts";

const NEW_FILE = O.O_RDONLY | O.O_CREAT | O.O_EXCL | O.O_NOFOLLOW;
const OLD_FILE = O.O_RDONLY | O.O_NOFOLLOW | O.O_NONBLOCK;

/**
 * Pins a namespace at a path, where it lives until it is unmounted. The path is a new file, or an empty one: what a
 * belay left that was killed in the middle. Exactly one of several callers gets it.
 * @throws CommandError when something else is there, or belay may not mount; then the path is as it was.
 */
export function pinNamespace(kernel: Kernel, namespace: number, path: string): void {
  const { fd, isNew } = openFile(kernel, path);
  try {
    const locked = kernel.call(attempt(flock(fd, LOCK.LOCK_EX | LOCK.LOCK_NB)));
    if (isSyscallError(locked, "EAGAIN")) {
      throw new CommandError(`--name: another belay pins a namespace at ${path} at this moment`);
    }
    try {
      if (locked !== undefined) throw locked;
      checkVacant(kernel, fd, path);
      mountOn(kernel, namespace, fd, path);
    } catch (error) {
      // Ours, and nobody else's. Should it stay, the next one may use it.
      if (isNew) kernel.call(attempt(unlinkat(AT_FDCWD, path)));
      throw error;
    }
  } finally {
    kernel.call(close(fd));
  }
}

function openFile(kernel: Kernel, path: string): { fd: number; isNew: boolean } {
  const made = kernel.call(attempt(openat(AT_FDCWD, path, NEW_FILE, 0o444)));
  if (!(made instanceof Error)) return { fd: made, isNew: true };
  if (!made.is("EEXIST")) throw new CommandError(`--name: cannot make ${path}`, { cause: made });
  try {
    return { fd: kernel.call(openat(AT_FDCWD, path, OLD_FILE)), isNew: false };
  } catch (cause) {
    if (!isSyscallError(cause)) throw cause;
    throw new CommandError(`--name: ${path} exists, and is no empty file`, { cause });
  }
}

/** Makes sure that nothing is there but the locked file. */
function checkVacant(kernel: Kernel, fd: number, path: string): void {
  // By the path once more: between the opening and the lock somebody may have been faster.
  const [opened, named] = kernel.batch([
    statx(fd, "", AT.AT_EMPTY_PATH),
    statx(AT_FDCWD, path, AT.AT_SYMLINK_NOFOLLOW),
  ]);
  if ((named.attributes & BigInt(STATX_ATTR_MOUNT_ROOT)) !== 0n) {
    throw new CommandError(`--name: something is mounted at ${path} already`);
  }
  const isEmptyFile = (opened.mode & S_IF.S_IFMT) === S_IF.S_IFREG && opened.size === 0n;
  if (isEmptyFile && sameFile(opened, named)) return;
  throw new CommandError(`--name: ${path} exists, and is no empty file`);
}

function mountOn(kernel: Kernel, namespace: number, fd: number, path: string): void {
  try {
    bindNamespace(kernel, namespace, fd);
  } catch (cause) {
    if (!isSyscallError(cause, "EPERM")) throw cause;
    throw new CommandError(
      `--name: cannot mount at ${path}: it needs CAP_SYS_ADMIN where belay runs; without it, run a command in the ` +
        "namespace (userns new -- COMMAND)",
      { cause },
    );
  }
}
