import type { Kernel } from "../../../ffi/kernel.ts";
import { getNsid, getNsids, parseNsid } from "../../../ffi/netlink/nsid.ts";
import { NetlinkSocket } from "../../../ffi/netlink/socket.ts";

/** Asks by which numbers the namespace that belay runs in knows others. */
export class NsidReader implements Disposable {
  private constructor(private readonly socket: NetlinkSocket) {}

  /** Undefined when it knows none: most never need one. */
  static open(kernel: Kernel): NsidReader | undefined {
    const socket = NetlinkSocket.open(kernel);
    try {
      if (socket.dump(getNsids()).length > 0) return new NsidReader(socket);
      socket[Symbol.dispose]();
      return undefined;
    } catch (error) {
      socket[Symbol.dispose]();
      throw error;
    }
  }

  /** The number of an open namespace; undefined when it has none. */
  of(netns: number): number | undefined {
    return parseNsid(this.socket.ask(getNsid(netns)));
  }

  /** Closes the socket. */
  [Symbol.dispose](): void {
    this.socket[Symbol.dispose]();
  }
}
