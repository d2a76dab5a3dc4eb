import { AT_FDCWD } from "../../ffi/abi/file_flags.ts";
import { readFile } from "../../ffi/files.ts";
import type { Kernel } from "../../ffi/kernel.ts";
import { isSyscallError } from "../../ffi/syscall_error.ts";
import { geteuid } from "../../ffi/syscalls/credentials.ts";
import { isInitialUidMap } from "./initial_uid_map.ts";

/** Whether belay runs in another user namespace than the machine's first: its root is nobody to the machine then. */
export function inUserNamespace(kernel: Kernel): boolean {
  const map = readOwn(kernel, "uid_map");
  return map !== undefined && !isInitialUidMap(map);
}

/**
 * Whether setgroups(2) is open to who has CAP_SETGID: it is not in a user namespace that a user has made without help,
 * nor in any below it (user_namespaces(7)).
 */
export function allowsSetgroups(kernel: Kernel): boolean {
  return readOwn(kernel, "setgroups")?.startsWith("deny") !== true;
}

/** @returns undefined on a kernel without user namespaces. */
function readOwn(kernel: Kernel, file: "uid_map" | "setgroups"): string | undefined {
  try {
    return readFile(kernel, AT_FDCWD, `/proc/self/${file}`);
  } catch (error) {
    if (isSyscallError(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** Root, and not only of a user namespace. */
export function isHostRoot(kernel: Kernel): boolean {
  return kernel.call(geteuid()) === 0 && !inUserNamespace(kernel);
}
