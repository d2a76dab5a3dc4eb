import type { Kernel } from "../../../ffi/kernel.ts";
import { readFile } from "../../../ffi/files.ts";
import { AT_FDCWD } from "../../../ffi/abi/file_flags.ts";
import { isSyscallError } from "../../../ffi/syscall_error.ts";
import { parseMountinfo } from "../../cgroup/mountinfo.ts";
import type { ThreadSeen } from "./seen.ts";

/** A bind mount of a network namespace. */
export interface MountSeen {
  /** The inode of the network namespace. */
  readonly netns: number;
  /** Where, as a process in the mount namespace sees it. */
  readonly path: string;
  /** The inode of the mount namespace. */
  readonly mountNamespace: number;
  /** Such a process. */
  readonly through: ThreadSeen;
}

/** What was seen of mounts. */
export interface MountsSeen {
  readonly mounts: readonly MountSeen[];
  /** What could not be seen, for people. */
  readonly unseen: readonly string[];
}

/** The network namespaces that are mounted anywhere, from the mountinfo of one process for each mount namespace. */
export function seeMounts(kernel: Kernel, threads: readonly ThreadSeen[]): MountsSeen {
  const inside = new Map<number, ThreadSeen[]>();
  for (const thread of threads) {
    if (thread.mountNamespace === 0) continue;
    const known = inside.get(thread.mountNamespace);
    if (known === undefined) inside.set(thread.mountNamespace, [thread]);
    else known.push(thread);
  }
  const mounts: MountSeen[] = [];
  const pinned = new Set<number>();
  let closed = 0;
  for (const [mountNamespace, members] of inside) {
    const found = mountinfoOf(kernel, members);
    if (found === undefined) {
      closed++;
      continue;
    }
    for (const { root, mountPoint } of parseMountinfo(found.nsfs)) {
      const match = /^(net|mnt):\[(\d+)\]$/.exec(root);
      if (match === null) continue;
      const inode = Number(match[2]);
      if (match[1] === "mnt") pinned.add(inode);
      else {
        mounts.push({ netns: inode, path: mountPoint, mountNamespace, through: found.thread });
      }
    }
  }
  const unseen: string[] = [];
  if (closed > 0) unseen.push(`the mounts of ${closed} mount namespaces`);
  const empty = [...pinned].filter((inode) => !inside.has(inode)).length;
  if (empty > 0) unseen.push(`the mounts of ${empty} mount namespaces without a process`);
  return { mounts, unseen };
}

/** Lines of nsfs mounts, through the first process that is still there and may be read. */
function mountinfoOf(
  kernel: Kernel,
  members: readonly ThreadSeen[],
): { nsfs: string; thread: ThreadSeen } | undefined {
  for (const thread of members) {
    try {
      const path = `/proc/${thread.pid}/task/${thread.tid}/mountinfo`;
      const text = readFile(kernel, AT_FDCWD, path);
      const nsfs = text.split("\n").filter((line) => line.includes(" - nsfs ")).join("\n");
      return { nsfs, thread };
    } catch (error) {
      // It ended, or may not be read: perhaps another one.
      if (!isSyscallError(error, "ENOENT", "ESRCH", "EINVAL", "EACCES", "EPERM")) throw error;
    }
  }
  return undefined;
}
