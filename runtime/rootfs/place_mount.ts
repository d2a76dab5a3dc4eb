import type { Kernel } from "../../ffi/kernel.ts";
import type { Call, Fd } from "../../ffi/call.ts";
import {
  mount,
  mount_setattr,
  type MountAttr,
  move_mount,
  OPEN_TREE,
  open_tree,
} from "../../ffi/syscalls/mount.ts";
import { fchdir } from "../../ffi/syscalls/file.ts";
import { AT, AT_FDCWD } from "../../ffi/abi/file_flags.ts";
import * as MNT from "../../ffi/abi/mount_flags.ts";
import { isSyscallError } from "../../ffi/syscall_error.ts";

/** A detached copy of the mount at a path, with everything below it when `recursive`. */
export function cloneTree(path: string, recursive: boolean, from: Fd = AT_FDCWD): Call<number> {
  const flags = OPEN_TREE.OPEN_TREE_CLONE | (recursive ? AT.AT_RECURSIVE : 0) |
    (path === "" ? AT.AT_EMPTY_PATH : 0);
  return open_tree(from, path, flags);
}

/** Attaches a detached mount at a place; both by descriptor, so nothing can be swapped in between. */
export function attach(tree: Fd, place: Fd): Call<void> {
  return move_mount(tree, "", place, "");
}

/** One change of a mount's attributes. */
export interface AttributeChange extends MountAttr {
  readonly recursive: boolean;
}

/**
 * Changes attributes of a mount: by mount_setattr(2), before 5.12 by remounting, which is not recursive and works
 * on directories alone. The mount must be attached for the second way.
 * @throws SyscallError, ENOSYS also for a recursive change on an old kernel.
 */
export function changeAttributes(kernel: Kernel, tree: number, change: AttributeChange): void {
  try {
    kernel.call(mount_setattr(tree, change, change.recursive));
  } catch (error) {
    if (!isSyscallError(error, "ENOSYS") || change.recursive || change.propagation) throw error;
    const flags = MNT.MS_REMOUNT | MNT.MS_BIND | classicFlags(change.set ?? 0);
    kernel.batch([fchdir(tree), mount(0, ".", 0, flags)]);
  }
}

/** MOUNT_ATTR_* as the MS_* of mount(2). */
function classicFlags(attributes: number): number {
  const pairs = [
    [MNT.MOUNT_ATTR_RDONLY, MNT.MS_RDONLY],
    [MNT.MOUNT_ATTR_NOSUID, MNT.MS_NOSUID],
    [MNT.MOUNT_ATTR_NODEV, MNT.MS_NODEV],
    [MNT.MOUNT_ATTR_NOEXEC, MNT.MS_NOEXEC],
    [MNT.MOUNT_ATTR_NOATIME, MNT.MS_NOATIME],
    [MNT.MOUNT_ATTR_STRICTATIME, MNT.MS_STRICTATIME],
    [MNT.MOUNT_ATTR_NODIRATIME, MNT.MS_NODIRATIME],
    [MNT.MOUNT_ATTR_NOSYMFOLLOW, MNT.MS_NOSYMFOLLOW],
  ] as const;
  return pairs.reduce((flags, [attr, ms]) => (attributes & attr) === attr ? flags | ms : flags, 0);
}
