import type { Kernel } from "../../ffi/kernel.ts";
import { tolerate } from "../../ffi/call.ts";
import { close, flock, mkdirat, openat, type Statx, statx } from "../../ffi/syscalls/file.ts";
import {
  mount,
  mount_setattr,
  move_mount,
  OPEN_TREE,
  open_tree,
} from "../../ffi/syscalls/mount.ts";
import { AT, AT_FDCWD, LOCK, O, STATX_ATTR_MOUNT_ROOT } from "../../ffi/abi/file_flags.ts";
import { MS_PRIVATE, MS_REC, MS_SHARED } from "../../ffi/abi/mount_flags.ts";
import { isSyscallError } from "../../ffi/syscall_error.ts";

/** Where network namespaces have names: iproute2's NETNS_RUN_DIR. */
export const NETNS_DIR = "/run/netns";

const OPEN = O.O_RDONLY | O.O_DIRECTORY;
/** How often the directory may be replaced by another between two of our calls before that is an error. */
const MOST_ATTEMPTS = 100;

/** Which file it is. */
export type FileIdentity = Pick<Statx, "ino" | "devMajor" | "devMinor">;

/** Whether both are one file. */
export function sameFile(a: FileIdentity, b: FileIdentity): boolean {
  return a.ino === b.ino && a.devMajor === b.devMajor && a.devMinor === b.devMinor;
}

/**
 * The directory with the lock that iproute2 takes, too, held until it is disposed of: from the look whether it is a
 * mount point until the last name in it is there or gone. iproute2 lets go of it earlier, so it may come in between
 * with a file, but never with a second mount on the directory (Debian #949235).
 */
export class NetnsDirectory implements Disposable {
  private constructor(
    private readonly kernel: Kernel,
    private readonly lock: number,
    /** The directory as everybody sees it: the root of the mount on it, if there is one. */
    readonly fd: number,
  ) {}

  /** Locks it, makes it where there is none, and makes it a mount point with events that are shared. @throws SyscallError */
  static prepared(kernel: Kernel): NetnsDirectory {
    kernel.call(tolerate(mkdirat(AT_FDCWD, NETNS_DIR, 0o755), ["EEXIST"], "it is there already"));
    const directory = NetnsDirectory.locked(kernel);
    try {
      return directory.#asMountPoint();
    } catch (error) {
      directory[Symbol.dispose]();
      throw error;
    }
  }

  /** Locks it. @throws SyscallError ENOENT where there is none: then nothing has a name. */
  static locked(kernel: Kernel): NetnsDirectory {
    for (let attempt = 1;; attempt++) {
      const lock = kernel.call(openat(AT_FDCWD, NETNS_DIR, OPEN));
      try {
        kernel.call(flock(lock, LOCK.LOCK_EX));
        const fd = kernel.call(openat(AT_FDCWD, NETNS_DIR, OPEN));
        const [locked, seen] = statBoth(kernel, lock, fd);
        // A mount of the directory on itself is the same inode, and so the same lock.
        if (sameFile(locked, seen)) return new NetnsDirectory(kernel, lock, fd);
        kernel.call(close(fd));
        if (attempt === MOST_ATTEMPTS) throw new Error(`${NETNS_DIR} is replaced all the time`);
      } catch (error) {
        kernel.call(close(lock));
        throw error;
      }
      kernel.call(close(lock)); // the lock of a directory that nobody sees any more
    }
  }

  /** Lets go of the lock. */
  [Symbol.dispose](): void {
    this.kernel.call(close(this.fd));
    this.kernel.call(close(this.lock));
  }

  /**
   * A mount point, because only then the unmounting of a name goes to other mount namespaces as the mounting did
   * (containers that were started meanwhile), and no namespace is kept alive by a copy of the mount there.
   */
  #asMountPoint(): NetnsDirectory {
    const { kernel, fd } = this;
    const { attributes } = kernel.call(statx(fd, "", AT.AT_EMPTY_PATH));
    if ((attributes & BigInt(STATX_ATTR_MOUNT_ROOT)) !== 0n) {
      // Whoever made it may have been ended before this, as iproute2 can be.
      share(kernel, fd, false);
      return this;
    }
    mountOnItself(kernel, fd);
    const mounted = kernel.call(openat(AT_FDCWD, NETNS_DIR, OPEN));
    kernel.call(close(fd)); // of the directory below the mount
    return new NetnsDirectory(kernel, this.lock, mounted);
  }
}

function statBoth(kernel: Kernel, lock: number, fd: number): [Statx, Statx] {
  try {
    return kernel.batch([statx(lock, "", AT.AT_EMPTY_PATH), statx(fd, "", AT.AT_EMPTY_PATH)]);
  } catch (error) {
    kernel.call(close(fd));
    throw error;
  }
}

/**
 * Mounts a directory on itself. The copy is what it is to be before it is attached, so there is no moment in between;
 * and it is no peer of the file system's own mount, which would get, hidden, a second mount of each name.
 */
function mountOnItself(kernel: Kernel, fd: number): void {
  const recursive = OPEN_TREE.OPEN_TREE_CLONE | AT.AT_EMPTY_PATH | AT.AT_RECURSIVE;
  const tree = kernel.call(open_tree(fd, "", recursive));
  try {
    setPropagation(kernel, tree, MS_PRIVATE, true);
    share(kernel, tree, true);
    kernel.call(move_mount(tree, "", fd, ""));
  } finally {
    kernel.call(close(tree));
  }
}

/** Makes mount events of a descriptor's mount go to its copies in other mount namespaces. */
function share(kernel: Kernel, fd: number, recursive: boolean): void {
  setPropagation(kernel, fd, MS_SHARED, recursive);
}

function setPropagation(kernel: Kernel, fd: number, propagation: number, recursive: boolean): void {
  try {
    kernel.call(mount_setattr(fd, { propagation }, recursive));
  } catch (error) {
    if (!isSyscallError(error, "ENOSYS")) throw error;
    // Before kernel 5.12, when the classic call still took a detached mount.
    const bits = propagation | (recursive ? MS_REC : 0);
    kernel.call(mount(0, `/proc/self/fd/${fd}`, 0, bits));
  }
}
