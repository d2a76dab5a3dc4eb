import type { Kernel } from "../../ffi/kernel.ts";
import { close, openat, statx, unlinkat } from "../../ffi/syscalls/file.ts";
import { bindNamespace } from "../../ffi/bind_namespace.ts";
import { AT, O } from "../../ffi/abi/file_flags.ts";
import { isSyscallError } from "../../ffi/syscall_error.ts";
import { CommandError } from "../cli/command_error.ts";
import { type NetnsDirectory, sameFile } from "./netns_directory.ts";
import { NetnsEntry } from "./netns_entry.ts";

/**
 * The permissions of the file below a name that belay gives. It is only seen while nothing is mounted there, and no
 * one else gives a file these (iproute2: none at all): under the lock, who finds such a file knows that its belay was
 * ended, and that nobody is about to mount anything on it.
 */
export const OWN_FILE_MODE = 0o200;

/**
 * Gives a namespace a name, by which `ip netns` knows it, too.
 * @param directory Prepared and locked.
 * @param namespace A descriptor of it.
 * @throws CommandError when the name is taken, SyscallError.
 */
export function publishNetns(
  kernel: Kernel,
  directory: NetnsDirectory,
  name: string,
  namespace: number,
): void {
  const file = makeFile(kernel, directory, name);
  try {
    bindNamespace(kernel, namespace, file);
  } catch (error) {
    removeFile(kernel, directory, name, file);
    throw error;
  } finally {
    kernel.call(close(file));
  }
}

function makeFile(kernel: Kernel, directory: NetnsDirectory, name: string): number {
  const flags = O.O_RDONLY | O.O_CREAT | O.O_EXCL | O.O_NOFOLLOW;
  try {
    return kernel.call(openat(directory.fd, name, flags, OWN_FILE_MODE));
  } catch (error) {
    if (!isSyscallError(error, "EEXIST")) throw error;
    using entry = NetnsEntry.open(kernel, directory.fd, name);
    const what = entry?.kind === "empty file"
      ? "without a namespace: `belay netns repair` removes what an interrupted command left"
      : entry?.kind === "foreign"
      ? "and is no network namespace"
      : "already";
    throw new CommandError(`network namespace ${JSON.stringify(name)} exists ${what}`);
  }
}

/** Takes the file back. Who takes no lock (`ip netns`) may have removed it meanwhile, and made another. */
function removeFile(kernel: Kernel, directory: NetnsDirectory, name: string, file: number): void {
  using entry = NetnsEntry.open(kernel, directory.fd, name);
  if (
    entry === undefined || !sameFile(entry.stat, kernel.call(statx(file, "", AT.AT_EMPTY_PATH)))
  ) {
    return;
  }
  kernel.call(unlinkat(directory.fd, name));
}
