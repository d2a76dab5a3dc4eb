/**
 * Small files and directories, read and written whole through a `Kernel`: for /proc and /sys, where a file's size
 * is 0 and a write is a command.
 *
 * @module
 */
import type { Kernel } from "./kernel.ts";
import { O } from "./abi/file_flags.ts";
import type { Call } from "./call.ts";
import { showCall } from "./show.ts";
import {
  close,
  closeWritten,
  type DirectoryEntry,
  getdents64,
  openat,
  read,
  write,
} from "./syscalls/file.ts";

/** Bytes asked of each read(2): a page, as much as procfs gives at once. */
const CHUNK_SIZE = 4096;

/**
 * The file's content as text.
 * @param dirfd Where `path` starts; AT_FDCWD for absolute paths.
 * @throws SyscallError
 */
export function readFile(kernel: Kernel, dirfd: number, path: string): string {
  return withOpen(kernel, dirfd, path, O.O_RDONLY, (fd) => {
    const chunks: Uint8Array[] = [];
    // A short read is not the end: procfs gives whole lines, as many as fit into a page.
    for (;;) {
      const bytes = kernel.call(read(fd, CHUNK_SIZE));
      if (bytes.length === 0) return new TextDecoder().decode(joined(chunks));
      chunks.push(bytes);
    }
  });
}

function joined(chunks: readonly Uint8Array[]): Uint8Array {
  const [only] = chunks;
  if (only !== undefined && chunks.length === 1) return only;
  const whole = new Uint8Array(chunks.reduce((length, chunk) => length + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

/**
 * Writes each text by one write(2) into the file, which must exist.
 * @throws SyscallError of open, or of the first write that fails; nothing is written after that.
 */
export function writeFile(
  kernel: Kernel,
  dirfd: number,
  path: string,
  ...texts: readonly string[]
): void {
  withOpen(kernel, dirfd, path, O.O_WRONLY, (fd) => {
    kernel.batch(texts.map((text) => write(fd, text)));
  });
}

/**
 * Writes text or bytes by one write(2) into a file that is opened for it, and closes it.
 * @throws SyscallError also of close(2), which may be the one that tells of a full disk; an Error when only a part was
 * written.
 */
export function writeWhole(kernel: Kernel, opened: Call<number>, data: string | Uint8Array): void {
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  const [, written] = kernel.batch([opened, write(opened, bytes), closeWritten(opened)]);
  if (written === bytes.length) return;
  // Signals do not cut writes to a file short; a disk that is full in the middle does.
  throw new Error(`${showCall(opened)}: only ${written} of ${bytes.length} bytes could be written`);
}

/**
 * The entries of a directory, without `.` and `..`.
 * @throws SyscallError
 */
export function readDirectory(kernel: Kernel, dirfd: number, path: string): DirectoryEntry[] {
  return withOpen(kernel, dirfd, path, O.O_RDONLY | O.O_DIRECTORY, (fd) => {
    const entries: DirectoryEntry[] = [];
    for (;;) {
      const more = kernel.call(getdents64(fd));
      if (more === undefined) return entries;
      entries.push(...more);
    }
  });
}

function withOpen<T>(
  kernel: Kernel,
  dirfd: number,
  path: string,
  flags: number,
  use: (fd: number) => T,
): T {
  const fd = kernel.call(openat(dirfd, path, flags));
  try {
    return use(fd);
  } finally {
    kernel.call(close(fd));
  }
}
