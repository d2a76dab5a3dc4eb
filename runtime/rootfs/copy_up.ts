import type { Kernel } from "../../ffi/kernel.ts";
import {
  close,
  fchmod,
  fchown,
  fchownat,
  mkdirat,
  mknodat,
  openat,
  readlinkat,
  sendfile,
  statx,
  symlinkat,
  utimensat,
} from "../../ffi/syscalls/file.ts";
import { AT, O, S_IF } from "../../ffi/abi/file_flags.ts";
import { readDirectory } from "../../ffi/files.ts";
import { makedev } from "../../ffi/syscalls/file.ts";

const NOFOLLOW = O.O_RDONLY | O.O_NOFOLLOW | O.O_NONBLOCK;

/**
 * `tmpcopyup`: fills a new tmpfs with what it hides: types, contents, owners, permissions, times. Both trees are
 * walked by descriptors, links are never followed.
 * @param hidden A descriptor of the directory below the mount (O_PATH).
 * @param mounted A descriptor of the tmpfs's root; closed here.
 */
export function copyUp(kernel: Kernel, hidden: number, mounted: number): void {
  const [from, to] = kernel.batch([
    openat(hidden, ".", NOFOLLOW | O.O_DIRECTORY),
    openat(mounted, ".", NOFOLLOW | O.O_DIRECTORY),
    close(mounted),
  ]);
  copyDirectory(kernel, from, to);
  kernel.batch([close(from), close(to)]);
}

function copyDirectory(kernel: Kernel, from: number, to: number): void {
  for (const { name } of readDirectory(kernel, from, ".")) copyEntry(kernel, from, to, name);
  const stat = kernel.call(statx(from, "", AT.AT_EMPTY_PATH));
  kernel.batch([
    fchown(to, stat.uid, stat.gid),
    fchmod(to, stat.mode & 0o7777),
    utimensat(to, stat),
  ]);
}

function copyEntry(kernel: Kernel, from: number, to: number, name: string): void {
  const stat = kernel.call(statx(from, name, AT.AT_SYMLINK_NOFOLLOW));
  switch (stat.mode & S_IF.S_IFMT) {
    case S_IF.S_IFDIR: {
      const directory = NOFOLLOW | O.O_DIRECTORY;
      const [source, , target] = kernel.batch([
        openat(from, name, directory),
        mkdirat(to, name, 0o700),
        openat(to, name, directory),
      ]);
      copyDirectory(kernel, source, target);
      kernel.batch([close(source), close(target)]);
      return;
    }
    case S_IF.S_IFLNK: {
      const target = kernel.call(readlinkat(from, name));
      kernel.batch([
        symlinkat(target, to, name),
        fchownat(to, name, stat.uid, stat.gid, AT.AT_SYMLINK_NOFOLLOW),
      ]);
      return;
    }
    case S_IF.S_IFREG:
      copyFile(kernel, from, to, name, stat.size);
      break;
    default:
      kernel.batch([
        mknodat(to, name, stat.mode, makedev(stat.rdevMajor, stat.rdevMinor)),
        fchownat(to, name, stat.uid, stat.gid, AT.AT_SYMLINK_NOFOLLOW),
      ]);
      return;
  }
  const [target] = kernel.batch([openat(to, name, NOFOLLOW)]);
  kernel.batch([
    fchown(target, stat.uid, stat.gid),
    fchmod(target, stat.mode & 0o7777),
    utimensat(target, stat),
    close(target),
  ]);
}

function copyFile(kernel: Kernel, from: number, to: number, name: string, size: bigint): void {
  const [source, target] = kernel.batch([
    openat(from, name, NOFOLLOW),
    openat(to, name, O.O_WRONLY | O.O_CREAT | O.O_EXCL | O.O_NOFOLLOW, 0o600),
  ]);
  for (let left = Number(size); left > 0;) {
    const copied = kernel.call(sendfile(target, source, left));
    if (copied === 0) break; // the file became shorter while it was copied
    left -= copied;
  }
  kernel.batch([close(source), close(target)]);
}
