import type { Kernel } from "../../ffi/kernel.ts";
import { attempt } from "../../ffi/call.ts";
import { writeWhole } from "../../ffi/files.ts";
import { openat, renameat2, unlinkat } from "../../ffi/syscalls/file.ts";
import { AT_FDCWD, O } from "../../ffi/abi/file_flags.ts";
import { SyscallError } from "../../ffi/syscall_error.ts";
import { CommandError } from "../cli/command_error.ts";

/**
 * Writes a process number for a client, so that it never sees half of it: under another name first, as runc does. One
 * that an interrupted belay left under that name is overwritten.
 * @throws CommandError
 */
export function writePidFile(kernel: Kernel, path: string, pid: number): void {
  const slash = path.lastIndexOf("/") + 1;
  const temporary = `${path.slice(0, slash)}.${path.slice(slash)}`;
  const flags = O.O_WRONLY | O.O_CREAT | O.O_TRUNC | O.O_NOFOLLOW;
  const opened = openat(AT_FDCWD, temporary, flags, 0o666);
  try {
    writeWhole(kernel, opened, String(pid));
    kernel.call(renameat2(AT_FDCWD, temporary, AT_FDCWD, path));
  } catch (cause) {
    kernel.call(attempt(unlinkat(AT_FDCWD, temporary, 0)));
    if (!(cause instanceof SyscallError)) throw cause;
    throw new CommandError(`--pid-file: ${path}`, { cause });
  }
}
