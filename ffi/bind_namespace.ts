import type { Kernel } from "./kernel.ts";
import { close } from "./syscalls/file.ts";
import { move_mount, OPEN_TREE, open_tree } from "./syscalls/mount.ts";
import { AT } from "./abi/file_flags.ts";

/**
 * Mounts a namespace on a file, where it lives until it is unmounted.
 * @param namespace,file Descriptors.
 * @throws SyscallError EPERM without CAP_SYS_ADMIN; then nothing is mounted, and nothing stays open.
 */
export function bindNamespace(kernel: Kernel, namespace: number, file: number): void {
  const flags = OPEN_TREE.OPEN_TREE_CLONE | AT.AT_EMPTY_PATH;
  const tree = kernel.call(open_tree(namespace, "", flags));
  try {
    kernel.call(move_mount(tree, "", file, ""));
  } finally {
    kernel.call(close(tree));
  }
}
