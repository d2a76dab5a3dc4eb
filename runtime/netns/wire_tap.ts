import type { Kernel } from "../../ffi/kernel.ts";
import type { Remote } from "../../ffi/remote.ts";
import { getLink, parseLink } from "../../ffi/netlink/link.ts";
import { NetlinkSocket } from "../../ffi/netlink/socket.ts";
import { isSyscallError } from "../../ffi/syscall_error.ts";
import { close, fcntl } from "../../ffi/syscalls/file.ts";
import { tunSetPersist } from "../../ffi/syscalls/tun.ts";
import { F } from "../../ffi/abi/file_flags.ts";
import { type NetnsTarget, NetnsWorker } from "./netns_worker.ts";
import { type FilterWiring, redirectByFilters, takeBackFilters } from "./redirect_by_filters.ts";
import { redirectByLinks } from "./redirect_by_links.ts";
import { openTap, type TapOptions } from "./tap.ts";

/** What a VMM's network is made of. */
export interface WireOptions extends TapOptions {
  /** The link that the namespace is reached by: `eth0`. */
  readonly link: string;
  /** Writes down what the kernel would not take back by itself, before it is made; not called where all is held by fds. */
  readonly record: (wiring: FilterWiring) => void;
  /** The way to take; the best that the kernel has unless it is said. */
  readonly way?: "links" | "filters";
  /**
   * The VMM takes no descriptor, it opens the TAP by its name: then the TAP has to stay without one until it does, and
   * is journalled with the filters. `makeTapMortal` ends that once the VMM has it.
   */
  readonly byName?: boolean;
}

/** A TAP that is wired to a link, before it is handed over. */
export interface Wiring {
  readonly way: "links" | "filters";
  /** The TAP's name. */
  readonly tap: string;
  /** The TAP first, then what keeps the redirection; none where all is journalled. Close-on-exec, the caller's. */
  readonly fds: readonly number[];
}

/**
 * Gives a VMM its network: a TAP, and everything that comes in by one link of the namespace sent to it, and back. With
 * tcx (kernel 6.6) nothing but the descriptors keeps any of it; before that, by filters that are journalled.
 */
export function wireTap(worker: NetnsWorker, options: WireOptions): Wiring {
  using socket = NetlinkSocket.open(worker);
  const link = parseLink(socket.ask(getLink(options.link)));
  const tap = openTap(worker, socket, { mtu: link.mtu, ...options });
  try {
    const { name } = tap.link;
    if (options.byName === true) {
      redirectByFilters(socket, worker.inode, link, tap.link, (wiring) => {
        options.record(wiring);
        worker.call(tunSetPersist(tap.fd, true));
      }, true);
      worker.call(close(tap.fd)); // else the VMM's own opening is refused (EBUSY)
      return { way: "filters", tap: name, fds: [] };
    }
    if (options.way !== "filters") {
      try {
        const fds = redirectByLinks(worker, link.index, tap.link.index);
        return { way: "links", tap: name, fds: [tap.fd, ...fds] };
      } catch (error) {
        // No tcx (EINVAL), no bpf(2) (ENOSYS), or none for us (EPERM): unless only this way was asked for.
        const fallback = isSyscallError(error, "EINVAL", "ENOSYS", "EPERM");
        if (options.way === "links" || !fallback) throw error;
      }
    }
    redirectByFilters(socket, worker.inode, link, tap.link, options.record);
    return { way: "filters", tap: name, fds: [tap.fd] };
  } catch (error) {
    worker.call(close(tap.fd));
    throw error;
  }
}

/**
 * Hands a TAP and what keeps its redirection over to a process that is about to become the VMM. Afterwards that process
 * alone has them, and keeps them over its execve.
 * @param kernel Whose descriptors they are: this process's.
 * @returns Their numbers there, in the same order.
 */
export function handOver(kernel: Kernel, stub: Remote, wiring: Wiring): number[] {
  const there = stub.give(wiring.fds);
  stub.batch(there.map((fd) => fcntl(fd, F.F_SETFD, 0)));
  for (const fd of wiring.fds) kernel.call(close(fd));
  return there;
}

/**
 * Takes back what was journalled, however little of it there ever was or still is. A namespace that is gone has taken
 * everything along: that is success, too, as is asking twice.
 * @param target How the namespace is reached: it may have ended, and another may be there now.
 * @returns What was removed, for people; nothing when nothing was left.
 */
export async function takeBackWiring(
  kernel: Kernel,
  target: NetnsTarget,
  wiring: FilterWiring,
): Promise<string[]> {
  let worker: NetnsWorker;
  try {
    worker = await NetnsWorker.enter(kernel, target);
  } catch (error) {
    // No such name or process any more, or a name without a namespace on it (EINVAL: a plain file).
    if (isSyscallError(error, "ENOENT", "ESRCH", "EINVAL")) return [];
    throw error;
  }
  await using entered = worker;
  if (entered.inode !== wiring.netns) return []; // another one by that name: ours is gone
  using socket = NetlinkSocket.open(entered);
  return takeBackFilters(socket, wiring);
}
