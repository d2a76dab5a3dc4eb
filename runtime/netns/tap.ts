import { tolerate } from "../../ffi/call.ts";
import type { Kernel } from "../../ffi/kernel.ts";
import type { Pidfd } from "../../ffi/pidfd.ts";
import { getLink, type Link, parseLink, setLink } from "../../ffi/netlink/link.ts";
import type { NetlinkSocket } from "../../ffi/netlink/socket.ts";
import { close } from "../../ffi/syscalls/file.ts";
import { pidfd_getfd } from "../../ffi/syscalls/process.ts";
import { IFF, openTun, tunGetIff, tunSetIff, tunSetPersist } from "../../ffi/syscalls/tun.ts";
import type { NetnsWorker } from "./netns_worker.ts";

/** How a TAP is made. */
export interface TapOptions {
  /** Its name; a `%d` in it becomes a number that is free. */
  readonly name: string;
  readonly mtu?: number;
  /** Frames begin with a virtio-net header, as a VMM with offloads wants them. */
  readonly vnetHdr?: boolean;
}

/** A TAP, and the descriptor that it lives by. */
export interface Tap {
  /** Close-on-exec, the caller's. The TAP is gone when the last copy is closed. */
  readonly fd: number;
  readonly link: Link;
}

/**
 * Makes a TAP that nothing but its descriptor keeps: when the last process that has it ends, by whatever hand, the TAP
 * is gone, with its queueing disciplines and filters. Up, ready to be given to a VMM.
 */
export function openTap(worker: NetnsWorker, socket: NetlinkSocket, options: TapOptions): Tap {
  // Of the namespace that the thread is in which opens the file: so the pinned one.
  const fd = worker.call(openTun());
  try {
    const vnetHdr = options.vnetHdr === true ? IFF.IFF_VNET_HDR : 0;
    const name = worker.call(tunSetIff(fd, options.name, IFF.IFF_TAP | IFF.IFF_NO_PI | vnetHdr));
    const { index } = parseLink(socket.ask(getLink(name)));
    const { mtu } = options;
    socket.do(setLink(index, { up: true, ...(mtu === undefined ? {} : { mtu }) }));
    return { fd, link: parseLink(socket.ask(getLink(index))) };
  } catch (error) {
    worker.call(close(fd));
    throw error;
  }
}

/**
 * Makes the TAP of a VMM that insists on opening it by name, for which it had to be persistent, go with the VMM all the
 * same. False when the descriptor is no TAP's, or the VMM has ended.
 * @param theirs The descriptor's number in that process.
 * @throws SyscallError EPERM without ptrace access.
 */
export function makeTapMortal(kernel: Kernel, vmm: Pidfd, theirs: number): boolean {
  const fd = kernel.call(
    tolerate(pidfd_getfd(vmm.fd, theirs), ["ESRCH", "EBADF"], "nobody has it any more"),
  );
  if (fd === undefined) return false;
  try {
    const what = kernel.call(
      tolerate(tunGetIff(fd), ["ENOTTY", "EINVAL", "EBADFD"], "no TAP, or without a link yet"),
    );
    if (what === undefined || (what.flags & IFF.IFF_TAP) === 0) return false;
    kernel.call(tunSetPersist(fd, false));
    return true;
  } finally {
    kernel.call(close(fd));
  }
}
