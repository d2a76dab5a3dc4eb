import type { Kernel } from "../../ffi/kernel.ts";
import type { Carriers, Remote } from "../../ffi/remote.ts";
import { attempt } from "../../ffi/call.ts";
import { readDirectory } from "../../ffi/files.ts";
import { close, fstatfs, openat } from "../../ffi/syscalls/file.ts";
import { MNT_DETACH, mount, umount2 } from "../../ffi/syscalls/mount.ts";
import { setns, unshare } from "../../ffi/syscalls/namespace.ts";
import { AT_FDCWD, O } from "../../ffi/abi/file_flags.ts";
import { CLONE } from "../../ffi/abi/process_flags.ts";
import { MS_BIND, MS_RDONLY, MS_REC, MS_SLAVE } from "../../ffi/abi/mount_flags.ts";
import { isSyscallError } from "../../ffi/syscall_error.ts";
import { CommandError } from "../cli/command_error.ts";
import type { Logger } from "../log/logger.ts";
import { NETNS_DIR } from "./netns_directory.ts";
import { NetnsEntry } from "./netns_entry.ts";

/** Configuration for one namespace: iproute2's NETNS_ETC_DIR (ip-netns(8)). */
const ETC_DIR = "/etc/netns";
/** statfs(2)'s f_flags. */
const ST_RDONLY = 1;

/**
 * Opens a named network namespace; a link leads to the one that it leads to. Owned by the caller.
 * @throws CommandError when there is none of that name.
 */
export function openNetns(kernel: Kernel, name: string): number {
  try {
    return kernel.call(openat(AT_FDCWD, `${NETNS_DIR}/${name}`, O.O_RDONLY | O.O_NONBLOCK));
  } catch (error) {
    if (!isSyscallError(error, "ENOENT")) throw error;
    throw new CommandError(`there is no network namespace ${JSON.stringify(name)}`);
  }
}

/**
 * Brings a stub where `ip netns exec` brings a program: into the namespace, and into a mount namespace of its own where
 * /sys tells about that network, and the files of /etc/netns/NAME stand in the place of those of /etc.
 * @throws CommandError, SyscallError
 */
export function enterNetns(
  { thread }: Carriers,
  stub: Remote,
  name: string,
  namespace: number,
  log: Logger,
): void {
  const [there = -1] = stub.give([namespace]);
  try {
    stub.batch([setns(there, CLONE.CLONE_NEWNET), close(there)]);
  } catch (error) {
    if (!isSyscallError(error, "EINVAL")) throw error;
    const entry = NetnsEntry.open(thread, AT_FDCWD, `${NETNS_DIR}/${name}`);
    using _entry = entry; // named twice: see tests/unit/build_using_test.ts
    const hint = entry?.kind === "empty file"
      ? ": `belay netns repair` removes what an interrupted command left"
      : "";
    throw new CommandError(`${NETNS_DIR}/${name} is no network namespace${hint}`);
  }
  // Nothing that is mounted here is to be seen elsewhere.
  stub.batch([unshare(CLONE.CLONE_NEWNS), mount("", "/", "none", MS_SLAVE | MS_REC)]);
  stub.call(mount(name, "/sys", "sysfs", clearSys(stub)));
  for (const file of filesOf(thread, name)) {
    const bound = stub.call(
      attempt(mount(`${ETC_DIR}/${name}/${file}`, `/etc/${file}`, "none", MS_BIND)),
    );
    // As for iproute2: a file that has no counterpart in /etc is no reason not to run the program.
    if (bound instanceof Error) log.warn(bound.message);
  }
}

/** Takes the old /sys away, with all that is mounted below it; the flags that the new one must have. */
function clearSys(stub: Remote): number {
  const unmounted = stub.call(attempt(umount2("/sys", MNT_DETACH)));
  if (!(unmounted instanceof Error)) return 0;
  // Not a mount, or one that may not be taken away: the new one goes on top, read-only over a read-only one.
  const opened = openat(AT_FDCWD, "/sys", O.O_PATH);
  const [, { flags }] = stub.batch([opened, fstatfs(opened), close(opened)]);
  return (flags & ST_RDONLY) === 0 ? 0 : MS_RDONLY;
}

/** The files in /etc/netns/NAME; most namespaces have none. */
function filesOf(kernel: Kernel, name: string): string[] {
  try {
    return readDirectory(kernel, AT_FDCWD, `${ETC_DIR}/${name}`).map((entry) => entry.name);
  } catch (error) {
    if (isSyscallError(error, "ENOENT", "ENOTDIR")) return []; // there is no such configuration
    throw error;
  }
}
