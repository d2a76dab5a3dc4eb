/**
 * Mounts, by the classic call and by the descriptor-based ones.
 *
 * @module
 */
import { type Call, call, effect, type Fd, Struct } from "../call.ts";
import { flags, type FlagTable, named, showFlags } from "../show.ts";
import { AT, O } from "../abi/file_flags.ts";
import * as MOUNT from "../abi/mount_flags.ts";

/** The MS_* bits by name, for people: made when somebody looks at a call. */
function mountFlagNames(): FlagTable {
  return {
    MS_BIND: MOUNT.MS_BIND,
    MS_DIRSYNC: MOUNT.MS_DIRSYNC,
    MS_I_VERSION: MOUNT.MS_I_VERSION,
    MS_LAZYTIME: MOUNT.MS_LAZYTIME,
    MS_MANDLOCK: MOUNT.MS_MANDLOCK,
    MS_MOVE: MOUNT.MS_MOVE,
    MS_NOATIME: MOUNT.MS_NOATIME,
    MS_NODEV: MOUNT.MS_NODEV,
    MS_NODIRATIME: MOUNT.MS_NODIRATIME,
    MS_NOEXEC: MOUNT.MS_NOEXEC,
    MS_NOSUID: MOUNT.MS_NOSUID,
    MS_NOSYMFOLLOW: MOUNT.MS_NOSYMFOLLOW,
    MS_PRIVATE: MOUNT.MS_PRIVATE,
    MS_RDONLY: MOUNT.MS_RDONLY,
    MS_REC: MOUNT.MS_REC,
    MS_RELATIME: MOUNT.MS_RELATIME,
    MS_REMOUNT: MOUNT.MS_REMOUNT,
    MS_SHARED: MOUNT.MS_SHARED,
    MS_SILENT: MOUNT.MS_SILENT,
    MS_SLAVE: MOUNT.MS_SLAVE,
    MS_STRICTATIME: MOUNT.MS_STRICTATIME,
    MS_SYNCHRONOUS: MOUNT.MS_SYNCHRONOUS,
    MS_UNBINDABLE: MOUNT.MS_UNBINDABLE,
  };
}

/** The MOUNT_ATTR_* by name, but for the mask. */
function attributeNames(): FlagTable {
  return {
    MOUNT_ATTR_IDMAP: MOUNT.MOUNT_ATTR_IDMAP,
    MOUNT_ATTR_NOATIME: MOUNT.MOUNT_ATTR_NOATIME,
    MOUNT_ATTR_NODEV: MOUNT.MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NODIRATIME: MOUNT.MOUNT_ATTR_NODIRATIME,
    MOUNT_ATTR_NOEXEC: MOUNT.MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID: MOUNT.MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_NOSYMFOLLOW: MOUNT.MOUNT_ATTR_NOSYMFOLLOW,
    MOUNT_ATTR_RDONLY: MOUNT.MOUNT_ATTR_RDONLY,
    MOUNT_ATTR_RELATIME: MOUNT.MOUNT_ATTR_RELATIME,
    MOUNT_ATTR_STRICTATIME: MOUNT.MOUNT_ATTR_STRICTATIME,
  };
}

/** umount2(2) flag: detach now, clean up when nothing uses it any more. */
export const MNT_DETACH = 2;

/** open_tree(2) flags; AT_EMPTY_PATH and AT_RECURSIVE go with them. */
export const OPEN_TREE = { OPEN_TREE_CLONE: 1, OPEN_TREE_CLOEXEC: O.O_CLOEXEC } as const;

/** move_mount(2) flags. */
export const MOVE_MOUNT = { MOVE_MOUNT_F_EMPTY_PATH: 0x4, MOVE_MOUNT_T_EMPTY_PATH: 0x40 } as const;

/** fsconfig(2) commands. */
export const FSCONFIG = {
  FSCONFIG_SET_FLAG: 0,
  FSCONFIG_SET_STRING: 1,
  FSCONFIG_SET_FD: 5,
  FSCONFIG_CMD_CREATE: 6,
} as const;

/**
 * mount(2). `target` "." with the working directory at the target's descriptor mounts exactly there.
 * EPERM, EBUSY, ENODEV (unknown file system), EINVAL (bad option).
 */
export function mount(
  source: string | 0,
  target: string,
  type: string | 0,
  mountFlags: number,
  data: string | 0 = 0,
): Call<void> {
  return effect("mount", source, target, type, flags(mountFlags, mountFlagNames), data);
}

/** umount2(2). EINVAL: not a mount point. */
export function umount2(target: string, umountFlags: number): Call<void> {
  return effect("umount2", target, flags(umountFlags, { MNT_DETACH }));
}

/**
 * open_tree(2), kernel 5.2: a descriptor of a path, or with OPEN_TREE_CLONE of a detached copy of the mounts there.
 * EINVAL: the mount belongs to another mount namespace, or is unbindable.
 */
export function open_tree(dirfd: Fd, path: string, treeFlags: number): Call<number> {
  return call(
    "open_tree",
    dirfd,
    path,
    flags(treeFlags | OPEN_TREE.OPEN_TREE_CLOEXEC, { ...OPEN_TREE, ...AT }),
  );
}

/** move_mount(2), kernel 5.2: attaches the mount of one descriptor at another. Both paths empty: by descriptor alone. */
export function move_mount(fromFd: Fd, from: string, toFd: Fd, to: string): Call<void> {
  const bits = (from === "" ? MOVE_MOUNT.MOVE_MOUNT_F_EMPTY_PATH : 0) |
    (to === "" ? MOVE_MOUNT.MOVE_MOUNT_T_EMPTY_PATH : 0);
  return effect("move_mount", fromFd, from, toFd, to, flags(bits, MOVE_MOUNT));
}

/** What mount_setattr(2) changes (linux/mount.h, struct mount_attr of 32 bytes). */
export interface MountAttr {
  readonly set?: number;
  readonly clear?: number;
  /** MS_SHARED, MS_SLAVE, MS_PRIVATE, MS_UNBINDABLE, or 0 for no change. */
  readonly propagation?: number;
}

/** mount_setattr(2), kernel 5.12, on the mount of a descriptor; `recursive` on all mounts below it, too. */
export function mount_setattr(fd: Fd, attr: MountAttr, recursive: boolean): Call<void> {
  const { set = 0, clear = 0, propagation = 0 } = attr;
  const text = () => {
    const names = attributeNames();
    return `{set ${showFlags(set, names)}, clear ${showFlags(clear, names)}, ` +
      `${showFlags(propagation, mountFlagNames())}}`;
  };
  const struct = new Struct(32, [[0, 8, set], [8, 8, clear], [16, 8, propagation]], false, text);
  const atFlags = AT.AT_EMPTY_PATH | (recursive ? AT.AT_RECURSIVE : 0);
  return effect("mount_setattr", fd, "", flags(atFlags, AT), struct, 32);
}

/** fsopen(2), kernel 5.2: a context to configure a new file system in, close-on-exec. */
export function fsopen(type: string): Call<number> {
  return call("fsopen", type, flags(1, { FSOPEN_CLOEXEC: 1 }));
}

/** fsconfig(2): a string, a flag (no value), a descriptor, or FSCONFIG_CMD_CREATE. Strings have at most 255 bytes. */
export function fsconfig(
  fd: Fd,
  command: number,
  key: string | 0 = 0,
  value: string | 0 = 0,
  aux = 0,
): Call<void> {
  return effect("fsconfig", fd, named(command, FSCONFIG), key, value, aux);
}

/** fsmount(2): a detached mount of the configured file system, with MOUNT_ATTR_* set. */
export function fsmount(fd: Fd, attributes: number): Call<number> {
  return call(
    "fsmount",
    fd,
    flags(1, { FSMOUNT_CLOEXEC: 1 }),
    flags(attributes, attributeNames),
  );
}

/** pivot_root(2). `pivot_root(".", ".")` stacks the old root on the new one, where umount2 takes it off. */
export function pivot_root(newRoot: string, putOld: string): Call<void> {
  return effect("pivot_root", newRoot, putOld);
}

/** chroot(2). */
export function chroot(path: string): Call<void> {
  return effect("chroot", path);
}
