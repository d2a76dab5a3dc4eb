/**
 * Flags of mount(2), mount_setattr(2), fsmount(2) and open_tree(2)'s attributes, with the kernel's
 * names and values.
 * Source: include/uapi/linux/mount.h. They are the same on every architecture.
 */

/** Read-only: of the mount, and with mount(2) of a new filesystem also of its superblock. */
export const MS_RDONLY = 0x1;
/** Ignore set-user-ID and set-group-ID bits and file capabilities. */
export const MS_NOSUID = 0x2;
/** Disallow access to device special files. */
export const MS_NODEV = 0x4;
/** Disallow program execution. */
export const MS_NOEXEC = 0x8;
/** Writes are synced at once (superblock). */
export const MS_SYNCHRONOUS = 0x10;
/** Alter the flags of an existing mount. */
export const MS_REMOUNT = 0x20;
/** Allow mandatory locks (superblock); ignored since Linux 5.15. */
export const MS_MANDLOCK = 0x40;
/** Directory modifications are synchronous (superblock). */
export const MS_DIRSYNC = 0x80;
/** Do not follow symbolic links; since Linux 5.10. */
export const MS_NOSYMFOLLOW = 0x100;
/** Do not update access times. */
export const MS_NOATIME = 0x400;
/** Do not update directory access times. */
export const MS_NODIRATIME = 0x800;
/** Make a subtree visible at another place. */
export const MS_BIND = 0x1000;
/** Move a mount. */
export const MS_MOVE = 0x2000;
/** With MS_BIND and the propagation flags: the whole tree of mounts below, too. */
export const MS_REC = 0x4000;
/** Suppress some kernel messages (superblock). */
export const MS_SILENT = 0x8000;
/** Propagation: private, and cannot be bind-mounted. */
export const MS_UNBINDABLE = 0x20000;
/** Propagation: mount events go neither in nor out. */
export const MS_PRIVATE = 0x40000;
/** Propagation: mount events come in from the master. */
export const MS_SLAVE = 0x80000;
/** Propagation: mount events are shared with the peer group. */
export const MS_SHARED = 0x100000;
/** Update access times relative to modification times; the kernel's default. */
export const MS_RELATIME = 0x200000;
/** Increment the inode version at every modification (superblock). */
export const MS_I_VERSION = 0x800000;
/** Always update access times. */
export const MS_STRICTATIME = 0x1000000;
/** Keep timestamps in memory as long as possible (superblock). */
export const MS_LAZYTIME = 0x2000000;

/** Mount attribute: read-only. */
export const MOUNT_ATTR_RDONLY = 0x1;
/** Mount attribute: ignore set-user-ID and set-group-ID bits and file capabilities. */
export const MOUNT_ATTR_NOSUID = 0x2;
/** Mount attribute: disallow access to device special files. */
export const MOUNT_ATTR_NODEV = 0x4;
/** Mount attribute: disallow program execution. */
export const MOUNT_ATTR_NOEXEC = 0x8;
/** The mask of the access-time setting, which is a field and not a set of bits. */
export const MOUNT_ATTR__ATIME = 0x70;
/** A value of the field MOUNT_ATTR__ATIME: relative to modification times. */
export const MOUNT_ATTR_RELATIME = 0x0;
/** A value of the field MOUNT_ATTR__ATIME: never update. */
export const MOUNT_ATTR_NOATIME = 0x10;
/** A value of the field MOUNT_ATTR__ATIME: always update. */
export const MOUNT_ATTR_STRICTATIME = 0x20;
/** Mount attribute: do not update directory access times. */
export const MOUNT_ATTR_NODIRATIME = 0x80;
/** Mount attribute: map ids as the namespace of mount_attr.userns_fd does; since Linux 5.12. */
export const MOUNT_ATTR_IDMAP = 0x100000;
/** Mount attribute: do not follow symbolic links; since Linux 5.14. */
export const MOUNT_ATTR_NOSYMFOLLOW = 0x200000;
