import type { Kernel } from "../../../ffi/kernel.ts";
import { RECORD, RECORD_WORDS, SEEN } from "../../../ffi/task_iterators.ts";
import { isSyscallError } from "../../../ffi/syscall_error.ts";
import { kernelLayout } from "./kernel_layout.ts";
import type { Seen, ThreadSeen } from "./seen.ts";
import { seeByIterators } from "./see_by_iterators.ts";
import { seeByProc } from "./see_by_proc.ts";
import { type MountSeen, seeMounts } from "./see_mounts.ts";

/** How to look: by the kernel's own iterators, through /proc, or the first of these that works. */
export type Way = "auto" | "bpf" | "proc";

/** Sockets of one thread's table in one namespace that were seen one after the other. */
export interface SocketRun {
  readonly pid: number;
  readonly tid: number;
  readonly piece: Uint32Array;
  /** Where the first record begins in the piece. */
  readonly start: number;
  count: number;
}

/** A descriptor of a namespace, or of /dev/net/tun. */
export interface DescriptorSeen {
  readonly kind: "nsfs" | "tun";
  readonly pid: number;
  readonly tid: number;
  readonly fd: number;
}

/** A network namespace, and everything that was seen to hold it. */
export class Netns {
  /** The inode of the user namespace that owns it; 0 when nobody has told yet. */
  owner = 0;
  readonly threads: ThreadSeen[] = [];
  readonly mounts: MountSeen[] = [];
  readonly descriptors: DescriptorSeen[] = [];
  readonly sockets: SocketRun[] = [];

  constructor(readonly inode: number) {}
}

/** Everything that was found. */
export interface Discovery {
  /** By inode; the order is that in which they were met. */
  readonly namespaces: ReadonlyMap<number, Netns>;
  /** The name of a process. */
  readonly comm: (pid: number) => string;
  /** What could not be seen, for people. */
  readonly unseen: readonly string[];
  /** Which way was taken. */
  readonly by: "bpf" | "proc";
}

/**
 * Finds every network namespace that anything within sight holds. belay's own process holds nothing here: it is gone
 * when the answer is read. The namespace that it is in is found in any case.
 * @throws SyscallError when `way` is "bpf" and the kernel refuses.
 */
export function discover(kernel: Kernel, self: number, way: Way, useCache: boolean): Discovery {
  const { seen, by } = look(kernel, way, useCache);
  const found = new Map<number, Netns>();
  const at = (inode: number, owner: number): Netns => {
    let netns = found.get(inode);
    if (netns === undefined) found.set(inode, netns = new Netns(inode));
    netns.owner ||= owner;
    return netns;
  };
  const first = new Map<number, ThreadSeen>();
  for (const thread of seen.threads) if (thread.tid === thread.pid) first.set(thread.pid, thread);
  for (const thread of seen.threads) {
    const netns = at(thread.netns, thread.owner);
    if (thread.pid === self) continue;
    // Seen because of its mount namespace alone: its process stands for it.
    if (thread.tid !== thread.pid && first.get(thread.pid)?.netns === thread.netns) continue;
    netns.threads.push(thread);
  }
  const { mounts, unseen } = seeMounts(kernel, seen.threads);
  for (const mount of mounts) at(mount.netns, 0).mounts.push(mount);
  for (const piece of seen.files) sort(piece, self, seen.numberOf, at);
  // A process whose first thread has ended is called by the name of another one that is there.
  const others = new Map(seen.threads.map((thread) => [thread.pid, thread]));
  const comm = (pid: number) => (first.get(pid) ?? others.get(pid))?.comm ?? "?";
  return { namespaces: found, comm, unseen: [...seen.unseen, ...unseen], by };
}

function look(
  kernel: Kernel,
  way: Way,
  useCache: boolean,
): { seen: Seen; by: "bpf" | "proc" } {
  if (way === "proc") return { seen: seeByProc(kernel), by: "proc" };
  const layout = kernelLayout(kernel, useCache);
  if (layout === undefined) {
    if (way === "bpf") {
      throw new Error("this kernel does not describe its types in /sys/kernel/btf");
    }
    return { seen: seeByProc(kernel), by: "proc" };
  }
  try {
    return { seen: seeByIterators(kernel, layout), by: "bpf" };
  } catch (error) {
    // Old kernels, containers, lockdown, no capabilities: all of them may look through /proc.
    if (way === "bpf" || !isSyscallError(error)) throw error;
    return { seen: seeByProc(kernel), by: "proc" };
  }
}

/** Sorts the records of a piece into their namespaces. Sockets, of which there may be very many, are only counted. */
function sort(
  piece: Uint32Array,
  self: number,
  numberOf: Seen["numberOf"],
  at: (inode: number, owner: number) => Netns,
): void {
  let run: SocketRun | undefined;
  let [netns, process, thread] = [0, 0, 0];
  for (let start = 0; start < piece.length; start += RECORD_WORDS) {
    const kind = piece[start + RECORD.kind];
    const inode = piece[start + RECORD.netns] ?? 0;
    const raw = piece[start + RECORD.pid] ?? 0;
    const own = piece[start + RECORD.tid] ?? 0;
    if (
      run !== undefined && kind === SEEN.socket && inode === netns && raw === process &&
      own === thread
    ) {
      run.count++;
      continue;
    }
    run = undefined;
    const pid = numberOf(raw);
    if (inode === 0 || pid === undefined || pid === self) continue;
    const [tid, fd] = [own === 0 ? pid : own, piece[start + RECORD.fd] ?? 0];
    const found = at(inode, piece[start + RECORD.owner] ?? 0);
    if (kind !== SEEN.socket) {
      found.descriptors.push({ kind: kind === SEEN.tun ? "tun" : "nsfs", pid, tid, fd });
      continue;
    }
    run = { pid, tid, piece, start, count: 1 };
    [netns, process, thread] = [inode, raw, own];
    found.sockets.push(run);
  }
}
