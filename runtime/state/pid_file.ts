import type { Kernel } from "../../ffi/kernel.ts";
import { close, openat, renameat2, write } from "../../ffi/syscalls/file.ts";
import { AT_FDCWD, O } from "../../ffi/abi/file_flags.ts";

/** Writes a process number for a client, so that it never sees half of it: under another name first, as runc does. */
export function writePidFile(kernel: Kernel, path: string, pid: number): void {
  const slash = path.lastIndexOf("/") + 1;
  const temporary = `${path.slice(0, slash)}.${path.slice(slash)}`;
  const opened = openat(AT_FDCWD, temporary, O.O_WRONLY | O.O_CREAT | O.O_EXCL, 0o666);
  kernel.batch([
    opened,
    write(opened, String(pid)),
    close(opened),
    renameat2(AT_FDCWD, temporary, AT_FDCWD, path),
  ]);
}
