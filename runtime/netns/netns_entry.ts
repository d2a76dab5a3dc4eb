import type { Kernel } from "../../ffi/kernel.ts";
import { close, fstatfs, openat, type Statx, statx } from "../../ffi/syscalls/file.ts";
import { AT, FS_MAGIC, O, S_IF, STATX_ATTR_MOUNT_ROOT } from "../../ffi/abi/file_flags.ts";
import { isSyscallError } from "../../ffi/syscall_error.ts";

/** What stands behind a name in the directory. */
export type EntryKind =
  /** A mounted namespace. */
  | "namespace"
  /** A file of size 0 on which nothing is mounted: an `add` is under way there, or was ended in the middle. */
  | "empty file"
  /** A symbolic link: `ln -s /proc/PID/ns/net` is an old way to give a container's namespace a name. */
  | "link"
  /** Something that belongs to nobody who knows this directory. */
  | "foreign";

/** An entry of the directory, held by an O_PATH descriptor: what was looked at stays what it is. */
export class NetnsEntry implements Disposable {
  private constructor(
    private readonly kernel: Kernel,
    readonly name: string,
    readonly fd: number,
    readonly stat: Statx,
    readonly kind: EntryKind,
  ) {}

  /** Opens an entry, without following a link. Undefined when there is none of that name. @throws SyscallError */
  static open(kernel: Kernel, directory: number, name: string): NetnsEntry | undefined {
    let fd;
    try {
      fd = kernel.call(openat(directory, name, O.O_PATH | O.O_NOFOLLOW));
    } catch (error) {
      if (isSyscallError(error, "ENOENT")) return undefined;
      throw error;
    }
    try {
      const [stat, { type }] = kernel.batch([statx(fd, "", AT.AT_EMPTY_PATH), fstatfs(fd)]);
      return new NetnsEntry(kernel, name, fd, stat, kindOf(stat, type));
    } catch (error) {
      kernel.call(close(fd));
      throw error;
    }
  }

  /** A path to exactly this file, whatever its name leads to by now. */
  get path(): string {
    return `/proc/self/fd/${this.fd}`;
  }

  /** Closes the descriptor. */
  [Symbol.dispose](): void {
    this.kernel.call(close(this.fd));
  }
}

function kindOf({ mode, size, attributes }: Statx, fileSystem: number): EntryKind {
  const mounted = (attributes & BigInt(STATX_ATTR_MOUNT_ROOT)) !== 0n;
  if (fileSystem === FS_MAGIC.NSFS_MAGIC && mounted) return "namespace";
  switch (mode & S_IF.S_IFMT) {
    case S_IF.S_IFLNK:
      return "link";
    case S_IF.S_IFREG:
      return size === 0n && !mounted ? "empty file" : "foreign";
    default:
      return "foreign";
  }
}
