/**
 * Files, directories and descriptors.
 *
 * @module
 */
import {
  type Call,
  Call as SystemCall,
  call,
  effect,
  type Fd,
  type OnFailure,
  out,
  Shown,
  Struct,
} from "../call.ts";
import { flags, named, octal, showFlags } from "../show.ts";
import {
  AT,
  AT_FDCWD,
  CLOSE_RANGE_CLOEXEC,
  F,
  LOCK,
  MFD,
  O,
  RENAME_NOREPLACE,
  RESOLVE,
  STATX,
} from "../abi/file_flags.ts";

/**
 * openat2(2), kernel 5.6: opens a path below a directory, close-on-exec always, and says how the path may be walked.
 * Errors that matter: ENOENT, ENOTDIR, ELOOP (a symbolic link where none is allowed), EXDEV (the path leads out),
 * EAGAIN (a rename or mount raced with RESOLVE_IN_ROOT; try again).
 * @param how `mode` is for O_CREAT alone.
 */
export function openat2(
  dirfd: Fd,
  path: string,
  how: { flags: number; mode?: number; resolve?: number },
): Call<number> {
  const open = how.flags | O.O_CLOEXEC;
  const resolve = how.resolve ?? 0;
  const text = () => {
    const mode = how.mode === undefined ? "" : `, 0${how.mode.toString(8)}`;
    return `{${showFlags(open, O)}${mode}, ${showFlags(resolve, RESOLVE)}}`;
  };
  const struct = new Struct(
    24,
    [[0, 8, open], [8, 8, how.mode ?? 0], [16, 8, resolve]],
    false,
    text,
  );
  return call("openat2", dirfd, path, struct, 24);
}

/** openat(2), close-on-exec always. For paths that belay itself trusts: nothing bounds how they are walked. */
export function openat(dirfd: Fd, path: string, openFlags: number, mode = 0): Call<number> {
  return call("openat", dirfd, path, flags(openFlags | O.O_CLOEXEC, O), octal(mode));
}

const WRITES_LOST: OnFailure = {
  kind: "tolerate",
  errnos: ["EIO", "ENOSPC", "EDQUOT"],
  why:
    "the descriptor is given back whatever close(2) returns; these are about what was written through it",
};

/**
 * close(2), for whatever was not written to, or does not keep what is written (sockets, /proc): it cannot fail in a way
 * that anybody could do something about, so cleaning up is never cut short by it.
 */
export function close(fd: Fd): Call<void> {
  const made = effect("close", fd);
  made.onFailure = WRITES_LOST;
  return made;
}

/** close(2) of a file that others will read: EIO, ENOSPC and EDQUOT say that what was written is lost (NFS, FUSE). */
export function closeWritten(fd: Fd): Call<void> {
  return effect("close", fd);
}

/** close_range(2), kernel 5.9, with CLOSE_RANGE_CLOEXEC from 5.11. */
export function close_range(first: number, last: number, closeFlags: number): Call<void> {
  return effect("close_range", first, last, flags(closeFlags, { CLOSE_RANGE_CLOEXEC }));
}

/** read(2): the bytes, at most `size`, fewer at the end of the file. */
export function read(fd: Fd, size: number): Call<Uint8Array> {
  const buffer = out(size);
  return new SystemCall("read", [fd, buffer, size], (count) => buffer.bytes.subarray(0, count));
}

/** write(2): how many bytes were written. Text is written as UTF-8. */
export function write(fd: Fd, data: string | Uint8Array): Call<number> {
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  return call("write", fd, bytes, bytes.length);
}

/** lseek(2) from the file's start. */
export function lseek(fd: Fd, offset: number): Call<number> {
  return call("lseek", fd, offset, 0);
}

/** mkdirat(2). EEXIST: something is there already. */
export function mkdirat(dirfd: Fd, path: string, mode: number): Call<void> {
  return effect("mkdirat", dirfd, path, octal(mode));
}

/** mknodat(2): a device, pipe or plain file. EPERM: not allowed in a user namespace. */
export function mknodat(dirfd: Fd, path: string, mode: number, device = 0n): Call<void> {
  const text = () => `makedev(${major(device)}, ${minor(device)})`;
  return effect("mknodat", dirfd, path, octal(mode), new Shown(device, text));
}

/** The device number that mknod(2) takes (linux/kdev_t.h, new_encode_dev). */
export function makedev(major: number, minor: number): bigint {
  return BigInt.asUintN(32, BigInt((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)));
}

function major(device: bigint): number {
  return (Number(device) >> 8) & 0xfff;
}

function minor(device: bigint): number {
  return (Number(device) & 0xff) | ((Number(device) >> 12) & 0xfff00);
}

/** symlinkat(2). */
export function symlinkat(target: string, dirfd: Fd, path: string): Call<void> {
  return effect("symlinkat", target, dirfd, path);
}

/** linkat(2) that gives a name to an open file: one made with O_TMPFILE, by its path in /proc. EEXIST: the name is taken. */
export function linkOpen(fd: number, dirfd: Fd, name: string): Call<void> {
  const from = `/proc/self/fd/${fd}`;
  return effect("linkat", AT_FDCWD, from, dirfd, name, flags(AT.AT_SYMLINK_FOLLOW, AT));
}

/** readlinkat(2): where a link points. */
export function readlinkat(dirfd: Fd, path: string): Call<string> {
  const buffer = out(4096);
  return new SystemCall(
    "readlinkat",
    [dirfd, path, buffer, 4096],
    (length) => new TextDecoder().decode(buffer.bytes.subarray(0, length)),
  );
}

/** unlinkat(2); AT_REMOVEDIR for a directory. */
export function unlinkat(dirfd: Fd, path: string, atFlags = 0): Call<void> {
  return effect("unlinkat", dirfd, path, flags(atFlags, { AT_REMOVEDIR: AT.AT_REMOVEDIR }));
}

/** renameat2(2), RENAME_NOREPLACE only on demand. */
export function renameat2(
  fromFd: Fd,
  from: string,
  toFd: Fd,
  to: string,
  renameFlags = 0,
): Call<void> {
  return effect("renameat2", fromFd, from, toFd, to, flags(renameFlags, { RENAME_NOREPLACE }));
}

/** fchownat(2). Ids of -1 stay as they are. */
export function fchownat(
  dirfd: Fd,
  path: string,
  uid: number,
  gid: number,
  atFlags = 0,
): Call<void> {
  return effect("fchownat", dirfd, path, uid, gid, flags(atFlags, AT));
}

/** fchown(2). */
export function fchown(fd: Fd, uid: number, gid: number): Call<void> {
  return effect("fchown", fd, uid, gid);
}

/** fchmod(2). */
export function fchmod(fd: Fd, mode: number): Call<void> {
  return effect("fchmod", fd, octal(mode));
}

/** fchmodat(2), which follows links: for entries of directories that nobody else can change. */
export function fchmodat(dirfd: Fd, path: string, mode: number): Call<void> {
  return effect("fchmodat", dirfd, path, octal(mode));
}

/** struct statx_timestamp. */
export interface Timestamp {
  readonly seconds: bigint;
  readonly nanoseconds: number;
}

/** What statx(2) tells, as far as belay asks. */
export interface Statx {
  /** Type and permissions. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly ino: bigint;
  /** Size in bytes. */
  readonly size: bigint;
  /** The device that a special file names. */
  readonly rdevMajor: number;
  readonly rdevMinor: number;
  /** The device that holds the file. */
  readonly devMajor: number;
  readonly devMinor: number;
  readonly atime: Timestamp;
  readonly mtime: Timestamp;
  /** The mount's number, from kernel 5.8. */
  readonly mountId: bigint;
  readonly attributes: bigint;
}

/** statx(2) (linux/stat.h, struct statx of 256 bytes). */
export function statx(dirfd: Fd, path: string, atFlags: number): Call<Statx> {
  const buffer = out(256);
  const mask = STATX.STATX_BASIC_STATS | STATX.STATX_MNT_ID;
  return new SystemCall(
    "statx",
    [dirfd, path, flags(atFlags, AT), flags(mask, STATX), buffer],
    () => decodeStatx(buffer.view()),
  );
}

function decodeStatx(view: DataView): Statx {
  const time = (at: number) => ({
    seconds: view.getBigInt64(at, true),
    nanoseconds: view.getUint32(at + 8, true),
  });
  return {
    atime: time(64),
    mtime: time(112),
    attributes: view.getBigUint64(8, true),
    uid: view.getUint32(20, true),
    gid: view.getUint32(24, true),
    mode: view.getUint16(28, true),
    ino: view.getBigUint64(32, true),
    size: view.getBigUint64(40, true),
    rdevMajor: view.getUint32(128, true),
    rdevMinor: view.getUint32(132, true),
    devMajor: view.getUint32(136, true),
    devMinor: view.getUint32(140, true),
    mountId: view.getBigUint64(144, true),
  };
}

/** fstatfs(2): the file system's magic number (struct statfs, f_type) and its mount flags (ST_*, f_flags). */
export function fstatfs(fd: Fd): Call<{ type: number; flags: number }> {
  const buffer = out(120);
  return new SystemCall("fstatfs", [fd, buffer], () => ({
    type: Number(buffer.view().getBigInt64(0, true)),
    flags: Number(buffer.view().getBigInt64(80, true)),
  }));
}

/** flock(2). EWOULDBLOCK (EAGAIN) with LOCK_NB: somebody else holds it. */
export function flock(fd: Fd, operation: number): Call<void> {
  return effect("flock", fd, flags(operation, LOCK));
}

/** fcntl(2). */
export function fcntl(fd: Fd, command: number, argument = 0): Call<number> {
  return call("fcntl", fd, named(command, F), argument);
}

/** ftruncate(2). */
export function ftruncate(fd: Fd, size: number): Call<void> {
  return effect("ftruncate", fd, size);
}

/** dup3(2): `to` becomes a copy of `from`, close-on-exec only if asked. EINVAL when both are one. */
export function dup3(from: Fd, to: number, openFlags = 0): Call<number> {
  return call("dup3", from, to, flags(openFlags, O));
}

/** pipe2(2), close-on-exec. */
export function pipe2(): Call<{ reader: number; writer: number }> {
  const pair = out(8);
  return new SystemCall("pipe2", [pair, flags(O.O_CLOEXEC, O)], () => ({
    reader: pair.view().getInt32(0, true),
    writer: pair.view().getInt32(4, true),
  }));
}

/** ioctl(2) with a number or memory. */
export function ioctl(
  fd: Fd,
  request: Shown | number,
  argument: number | Struct = 0,
): Call<number> {
  return call("ioctl", fd, request, argument);
}

/** chdir(2). */
export function chdir(path: string): Call<void> {
  return effect("chdir", path);
}

/** fchdir(2). */
export function fchdir(fd: Fd): Call<void> {
  return effect("fchdir", fd);
}

/** getcwd(2): the kernel's answer, which starts with `(unreachable)` for a directory outside the root. */
export function getcwd(): Call<string> {
  const buffer = out(4096);
  return new SystemCall(
    "getcwd",
    [buffer, 4096],
    (length) => new TextDecoder().decode(buffer.bytes.subarray(0, length - 1)),
  );
}

/** umask(2): the mask before. */
export function umask(mask: number): Call<number> {
  return call("umask", octal(mask));
}

/**
 * faccessat2(2), kernel 5.8: whether the path may be read (4), written (2), executed (1) by the real ids, or with
 * AT_EACCESS by the effective ones. EROFS: it is on what is mounted read-only, and asked for writing.
 */
export function faccessat2(dirfd: Fd, path: string, mode: number, atFlags = 0): Call<void> {
  return effect(
    "faccessat2",
    dirfd,
    path,
    mode,
    flags(atFlags, { AT_EACCESS: AT.AT_EACCESS, AT_EMPTY_PATH: AT.AT_EMPTY_PATH }),
  );
}

/** A directory entry, as getdents64(2) tells it. */
export interface DirectoryEntry {
  readonly name: string;
  /** DT_DIR is 4, DT_LNK 10, DT_REG 8; 0 when the file system does not say. */
  readonly type: number;
}

/** getdents64(2): some more entries of a directory, none at its end; `.` and `..` are left out. */
export function getdents64(fd: Fd): Call<DirectoryEntry[] | undefined> {
  const size = 16384;
  const buffer = out(size);
  return new SystemCall("getdents64", [fd, buffer, size], (length) => {
    if (length === 0) return undefined;
    const entries: DirectoryEntry[] = [];
    for (let at = 0; at < length;) {
      const record = buffer.view().getUint16(at + 16, true);
      const bytes = buffer.bytes.subarray(at + 19, at + record);
      const name = new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
      if (name !== "." && name !== "..") entries.push({ name, type: buffer.bytes[at + 18] ?? 0 });
      at += record;
    }
    return entries;
  });
}

/** sendfile(2) from one file's position to another's: how many bytes were copied. */
export function sendfile(to: Fd, from: Fd, count: number): Call<number> {
  return call("sendfile", to, from, 0, count);
}

/** utimensat(2) on a descriptor: the access and modification times of another file. */
export function utimensat(fd: Fd, times: Pick<Statx, "atime" | "mtime">): Call<void> {
  const fields = [times.atime, times.mtime].flatMap(({ seconds, nanoseconds }, i) =>
    [[i * 16, 8, seconds], [i * 16 + 8, 8, nanoseconds]] as const
  );
  return effect("utimensat", fd, 0, new Struct(32, fields, false, () => "times"), 0);
}

/** memfd_create(2). */
export function memfd_create(name: string, memfdFlags: number): Call<number> {
  return call("memfd_create", name, flags(memfdFlags, MFD));
}

export { AT_FDCWD };
