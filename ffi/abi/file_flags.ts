/**
 * Flags of file system calls (fcntl.h, linux/openat2.h, linux/stat.h). The open flags of x86_64 and aarch64 differ.
 *
 * @module
 */
const x86 = Deno.build.arch === "x86_64";

/** openat(2) flags of this architecture. */
export const O = {
  O_RDONLY: 0,
  O_WRONLY: 0o1,
  O_RDWR: 0o2,
  O_CREAT: 0o100,
  O_EXCL: 0o200,
  O_NOCTTY: 0o400,
  O_TRUNC: 0o1000,
  O_APPEND: 0o2000,
  O_NONBLOCK: 0o4000,
  O_DIRECTORY: x86 ? 0o200000 : 0o40000,
  O_NOFOLLOW: x86 ? 0o400000 : 0o100000,
  O_CLOEXEC: 0o2000000,
  O_PATH: 0o10000000,
} as const;

/** A file without a name, in the directory that is opened; O_DIRECTORY goes with it (asm-generic/fcntl.h). */
export const O_TMPFILE: number = 0o20000000 | O.O_DIRECTORY;

/** openat2(2) `resolve` bits. */
export const RESOLVE = {
  RESOLVE_NO_XDEV: 0x01,
  RESOLVE_NO_MAGICLINKS: 0x02,
  RESOLVE_NO_SYMLINKS: 0x04,
  RESOLVE_BENEATH: 0x08,
  RESOLVE_IN_ROOT: 0x10,
} as const;

/** `*at` flags (fcntl.h). */
export const AT = {
  AT_SYMLINK_NOFOLLOW: 0x100,
  AT_REMOVEDIR: 0x200,
  AT_EACCESS: 0x200,
  AT_SYMLINK_FOLLOW: 0x400,
  AT_NO_AUTOMOUNT: 0x800,
  AT_EMPTY_PATH: 0x1000,
  AT_RECURSIVE: 0x8000,
} as const;

/** The directory descriptor that stands for the working directory. */
export const AT_FDCWD = -100;

/** File types in a mode (sys/stat.h). */
export const S_IF = {
  S_IFMT: 0o170000,
  S_IFSOCK: 0o140000,
  S_IFLNK: 0o120000,
  S_IFREG: 0o100000,
  S_IFBLK: 0o060000,
  S_IFDIR: 0o040000,
  S_IFCHR: 0o020000,
  S_IFIFO: 0o010000,
} as const;

/** statx(2) masks. */
export const STATX = { STATX_BASIC_STATS: 0x7ff, STATX_MNT_ID: 0x1000 } as const;

/** statx(2) attribute: the file is the root of a mount. */
export const STATX_ATTR_MOUNT_ROOT = 0x2000;

/** flock(2) operations. */
export const LOCK = { LOCK_SH: 1, LOCK_EX: 2, LOCK_NB: 4, LOCK_UN: 8 } as const;

/** fcntl(2) commands. */
export const F = {
  F_DUPFD: 0,
  F_GETFD: 1,
  F_SETFD: 2,
  F_GETFL: 3,
  F_SETFL: 4,
  F_ADD_SEALS: 1033,
  F_GET_SEALS: 1034,
  F_DUPFD_CLOEXEC: 1030,
} as const;

/** The only descriptor flag (fcntl.h). */
export const FD_CLOEXEC = 1;

/** memfd seals (linux/fcntl.h). */
export const F_SEAL = {
  F_SEAL_SEAL: 0x1,
  F_SEAL_SHRINK: 0x2,
  F_SEAL_GROW: 0x4,
  F_SEAL_WRITE: 0x8,
} as const;

/** memfd_create(2) flags; MFD_EXEC is from kernel 6.3. */
export const MFD = { MFD_CLOEXEC: 1, MFD_ALLOW_SEALING: 2, MFD_EXEC: 0x10 } as const;

/** close_range(2) flags. */
export const CLOSE_RANGE_CLOEXEC = 4;

/** renameat2(2) flags. */
export const RENAME_NOREPLACE = 1;

/** File system magic numbers (linux/magic.h). */
export const FS_MAGIC = {
  PROC_SUPER_MAGIC: 0x9fa0,
  SYSFS_MAGIC: 0x62656572,
  TMPFS_MAGIC: 0x01021994,
  CGROUP_SUPER_MAGIC: 0x27e0eb,
  CGROUP2_SUPER_MAGIC: 0x63677270,
  PID_FS_MAGIC: 0x50494446,
  DEVPTS_SUPER_MAGIC: 0x1cd1,
  NSFS_MAGIC: 0x6e736673,
} as const;
