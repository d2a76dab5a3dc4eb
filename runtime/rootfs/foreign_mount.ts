import type { Kernel } from "../../ffi/kernel.ts";
import { tolerate } from "../../ffi/call.ts";
import { close, openat, statx, unlinkat } from "../../ffi/syscalls/file.ts";
import { MNT_DETACH, mount_setattr, move_mount, umount2 } from "../../ffi/syscalls/mount.ts";
import { AT, AT_FDCWD, O } from "../../ffi/abi/file_flags.ts";
import { MS_PRIVATE } from "../../ffi/abi/mount_flags.ts";
import { SyscallError } from "../../ffi/syscall_error.ts";
import { CommandError } from "../cli/command_error.ts";

/**
 * A container's root in a mount namespace that belongs to somebody else (`linux.namespaces[].path` of type mount).
 * pivot_root(2) there would move the root of every other process, and a mount would stay when the container ends. So
 * the root is attached to a directory of the container's own state directory, everything else is mounted below it,
 * and the process goes there by chroot(2). When that directory is removed, the kernel takes off whatever is mounted on
 * it in any mount namespace (rmdir(2) of a mount point of another namespace, since Linux 4.1; fs/namei.c,
 * detach_mounts): there is no path to a namespace, and no number of a mount, that could mean another one by then.
 *
 * @module
 */

/** A place for a root, as it is in belay's own mount namespace. */
export interface ForeignRoot {
  /** The directory's path. */
  readonly place: string;
  /** The detached tree of the root directory, in the stub. */
  readonly tree: number;
  /** `linux.namespaces[2].path`, for errors. */
  readonly field: string;
}

/** Attaches the root, by a stub that is in the other mount namespace and still is root on the host. */
export function attachForeignRoot(thread: Kernel, stub: Kernel, root: ForeignRoot): void {
  const { place, tree, field } = root;
  const known = thread.call(statx(AT_FDCWD, place, AT.AT_SYMLINK_NOFOLLOW));
  const directory = openat(AT_FDCWD, place, O.O_PATH | O.O_DIRECTORY | O.O_NOFOLLOW);
  try {
    const [fd, seen] = stub.batch([directory, statx(directory, "", AT.AT_EMPTY_PATH)]);
    const same = seen.ino === known.ino && seen.devMajor === known.devMajor &&
      seen.devMinor === known.devMinor;
    if (!same) throw new CommandError(`${place} is another directory there`);
    stub.batch([
      move_mount(tree, "", fd, ""),
      // What is attached below a shared mount becomes shared: what follows must not be seen elsewhere.
      mount_setattr(tree, { propagation: MS_PRIVATE }, true),
      close(fd),
    ]);
  } catch (cause) {
    if (!(cause instanceof SyscallError || cause instanceof CommandError)) throw cause;
    const why =
      "the root cannot be attached in that mount namespace, which must show the state directory";
    throw new CommandError(`${field}: ${why}`, { cause });
  }
}

/** Removes the place, and with it the root from every mount namespace. Twice is harmless. */
export function releaseForeignRoot(thread: Kernel, place: string): void {
  const elsewhere = "mounted in other mount namespaces only: rmdir takes it off there";
  thread.batch([
    // In belay's own namespace rmdir would say EBUSY.
    tolerate(umount2(place, MNT_DETACH), ["EINVAL", "ENOENT"], elsewhere),
    tolerate(
      unlinkat(AT_FDCWD, place, AT.AT_REMOVEDIR),
      ["ENOENT"],
      "the usual case: none was made",
    ),
  ]);
}
