import type { Kernel } from "../../ffi/kernel.ts";
import { attempt, type Call, type Fd } from "../../ffi/call.ts";
import {
  mount,
  mount_setattr,
  type MountAttr,
  move_mount,
  OPEN_TREE,
  open_tree,
} from "../../ffi/syscalls/mount.ts";
import { fchdir, fstatfs } from "../../ffi/syscalls/file.ts";
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

/** statfs(2)'s ST_* flags that are attributes of the mount (linux/statfs.h). */
const ST = { ST_NOATIME: 0x400, ST_NODIRATIME: 0x800, ST_RELATIME: 0x1000, ST_NOSYMFOLLOW: 0x2000 };
/** ST_RDONLY, ST_NOSUID, ST_NODEV and ST_NOEXEC are the same bits as their MOUNT_ATTR_*. */
const ST_SAME = 0xf;

/**
 * Changes attributes of a mount: by mount_setattr(2), before 5.12 by remounting, which cannot change a tree at once.
 * The mount must be attached for the second way.
 * @throws SyscallError, ENOSYS also for a recursive change of attributes on an old kernel.
 */
export function changeAttributes(kernel: Kernel, tree: number, change: AttributeChange): void {
  try {
    kernel.call(mount_setattr(tree, change, change.recursive));
  } catch (error) {
    if (!isSyscallError(error, "ENOSYS")) throw error;
    const { set = 0, clear = 0, propagation = 0, recursive } = change;
    if (recursive && (set !== 0 || clear !== 0)) throw error;
    const isFile = kernel.call(attempt(fchdir(tree))) instanceof Error;
    const target = isFile ? `/proc/self/fd/${tree}` : ".";
    if (propagation !== 0) {
      kernel.call(mount(0, target, 0, propagation | (recursive ? MNT.MS_REC : 0)));
    }
    if (set === 0 && clear === 0) return;
    // A remount replaces all attributes: those that are not spoken of must be asked for again.
    const present = presentAttributes(kernel.call(fstatfs(tree)).flags);
    const flags = classicFlags((present & ~clear) | set);
    kernel.call(mount(0, target, 0, MNT.MS_REMOUNT | MNT.MS_BIND | flags));
  }
}

/** Of ST_* flags, as MOUNT_ATTR_*. */
function presentAttributes(flags: number): number {
  const strict = (flags & (ST.ST_NOATIME | ST.ST_RELATIME)) === 0;
  return (flags & ST_SAME) |
    (flags & ST.ST_NOATIME ? MNT.MOUNT_ATTR_NOATIME : 0) |
    (flags & ST.ST_NODIRATIME ? MNT.MOUNT_ATTR_NODIRATIME : 0) |
    (flags & ST.ST_NOSYMFOLLOW ? MNT.MOUNT_ATTR_NOSYMFOLLOW : 0) |
    (strict ? MNT.MOUNT_ATTR_STRICTATIME : 0);
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
  const relatime = (attributes & MNT.MOUNT_ATTR__ATIME) === 0 ? MNT.MS_RELATIME : 0;
  return pairs.reduce(
    (flags, [attr, ms]) => (attributes & attr) === attr ? flags | ms : flags,
    relatime,
  );
}
