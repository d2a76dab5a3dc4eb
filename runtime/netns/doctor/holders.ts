import { Pidfd } from "../../../ffi/pidfd.ts";
import type { Kernel } from "../../../ffi/kernel.ts";
import { readFile } from "../../../ffi/files.ts";
import { AT_FDCWD } from "../../../ffi/abi/file_flags.ts";
import { SIGNAL } from "../../../ffi/abi/signals.ts";
import { isSyscallError } from "../../../ffi/syscall_error.ts";
import { close } from "../../../ffi/syscalls/file.ts";
import type { Discovery, Netns } from "../discover/discover.ts";
import { holdersOf } from "../discover/holder.ts";
import { openNetns } from "../discover/open_netns.ts";
import { heldBy } from "../list/table.ts";
import { type Case, GONE } from "./finding.ts";

/** How long a process may take to end when it is asked to. */
const PATIENCE_MS = 5000;

/**
 * Namespaces that nobody is in and that have no name: descriptors alone keep them. Their holders may want them, so
 * nothing about this is certain.
 */
export function examineHolders(kernel: Kernel, discovery: Discovery, self: number): Case[] {
  const spared = ancestors(kernel, self);
  return [...discovery.namespaces.values()].flatMap((netns): Case[] => {
    if (netns.threads.length > 0 || netns.mounts.length > 0) return [];
    const holders = holdersOf(netns, discovery);
    if (holders.length === 0) return []; // belay's own
    const pids = [...new Set(holders.map(({ pid }) => pid))];
    const names = pids.map((pid) => `${discovery.comm(pid)} (${pid})`).join(", ");
    const may = pids.every((pid) => !spared.has(pid));
    return [{
      finding: {
        ...{ kind: "holder", netns: netns.inode, certain: false, holders },
        what: `nobody is in it, and it has no name: held by ${heldBy(netns, discovery)}`,
        remedy: may ? `end ${names}` : null,
      },
      cure: () => end(kernel, netns, pids, names),
    }];
  });
}

/** Processes that doctor itself hangs on, and the first one: they are not ended. */
function ancestors(kernel: Kernel, self: number): Set<number> {
  const found = new Set([1, self]);
  for (let pid = self; pid > 1;) {
    const stat = readFile(kernel, AT_FDCWD, `/proc/${pid}/stat`);
    pid = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
    if (found.has(pid)) break;
    found.add(pid);
  }
  return found;
}

/** Asks the processes to end. Each is held by a pidfd before it is asked whether the namespace is still theirs. */
function end(kernel: Kernel, netns: Netns, pids: readonly number[], names: string): string {
  const pidfds: Pidfd[] = [];
  try {
    for (const pid of pids) {
      try {
        pidfds.push(Pidfd.open(kernel, pid));
      } catch (error) {
        if (!isSyscallError(error, "ESRCH")) throw error; // it has ended, as it was meant to
      }
    }
    const opened = openNetns(kernel, netns, false);
    if (opened === "gone") return GONE;
    if ("error" in opened) throw opened.error;
    kernel.call(close(opened.fd));
    for (const pidfd of pidfds) pidfd.signal(SIGNAL.SIGTERM);
    for (const pidfd of pidfds) {
      if (!pidfd.waitSync(PATIENCE_MS)) {
        throw new Error(`process ${pidfd.pid} does not end on SIGTERM`);
      }
    }
    return `ended ${names}`;
  } finally {
    for (const pidfd of pidfds) pidfd[Symbol.dispose]();
  }
}
