import { attempt } from "../../../ffi/call.ts";
import type { Kernel } from "../../../ffi/kernel.ts";
import { AT } from "../../../ffi/abi/file_flags.ts";
import { close, statx } from "../../../ffi/syscalls/file.ts";
import { owningUserNamespace, parentNamespace } from "../../../ffi/syscalls/holder.ts";

/** User namespaces by inode, each with its parent; undefined for one whose parent is out of sight. */
export type UserNamespaces = Map<number, number | undefined>;

/**
 * The inode of the user namespace that owns a namespace; undefined when it is none that this process may see (EPERM).
 * @param known Gets that one and all above it, as far as they can be seen.
 */
export function ownerOf(
  kernel: Kernel,
  namespace: number,
  known?: UserNamespaces,
): number | undefined {
  let owner: number | undefined;
  let below: number | undefined;
  let next = kernel.call(attempt(owningUserNamespace(namespace)));
  for (;;) {
    if (next instanceof Error) {
      // It, or the one above, is none of ours: the first one, or that of a container's host.
      if (next.is("EPERM")) return owner;
      throw next;
    }
    const fd: number = next;
    try {
      const inode = Number(kernel.call(statx(fd, "", AT.AT_EMPTY_PATH)).ino);
      owner ??= inode;
      if (known === undefined) return owner;
      if (below !== undefined) known.set(below, inode);
      if (known.has(inode)) return owner;
      known.set(inode, undefined);
      below = inode;
      next = kernel.call(attempt(parentNamespace(fd)));
    } finally {
      kernel.call(close(fd));
    }
  }
}
