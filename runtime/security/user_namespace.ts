import { AT_FDCWD } from "../../ffi/abi/file_flags.ts";
import { readFile } from "../../ffi/files.ts";
import type { Kernel } from "../../ffi/kernel.ts";
import { geteuid } from "../../ffi/syscalls/credentials.ts";

/** What /proc/self/uid_map says outside of user namespaces (user_namespaces(7)). */
const INITIAL_UID_MAP = /^\s*0\s+0\s+4294967295\s*$/;

/** Whether belay runs in another user namespace than the machine's first: its root is nobody to the machine then. */
export function inUserNamespace(kernel: Kernel): boolean {
  return !INITIAL_UID_MAP.test(readFile(kernel, AT_FDCWD, "/proc/self/uid_map"));
}

/** Root, and not only of a user namespace. */
export function isHostRoot(kernel: Kernel): boolean {
  return kernel.call(geteuid()) === 0 && !inUserNamespace(kernel);
}
