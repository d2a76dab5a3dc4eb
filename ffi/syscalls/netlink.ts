/**
 * Netlink sockets (netlink(7)).
 *
 * @module
 */
import { type Call, Call as SystemCall, call, effect, type Fd, out, Struct } from "../call.ts";
import { flags, named } from "../show.ts";
import { AF } from "../abi/rtnetlink.ts";

const SOCK = { SOCK_RAW: 3, SOCK_CLOEXEC: 0o2000000 } as const;
const SOL = { SOL_SOCKET: 1, SOL_NETLINK: 270 } as const;
const OPTION = { NETLINK_CAP_ACK: 10, NETLINK_EXT_ACK: 11, NETLINK_GET_STRICT_CHK: 12 } as const;
const SO_RCVTIMEO = 20;
const MSG_TRUNC = 0x20;
/** struct sockaddr_nl (linux/netlink.h): family, then the port at 4. */
const ADDRESS = { size: 12, port: 4 } as const;

/** socket(2) of NETLINK_ROUTE, close-on-exec: in the network namespace of the thread that makes it, for ever. */
export function netlinkSocket(): Call<number> {
  return new SystemCall(
    "socket",
    [named(AF.AF_NETLINK, AF), flags(SOCK.SOCK_RAW | SOCK.SOCK_CLOEXEC, SOCK), 0],
    (fd) => fd,
  );
}

/** setsockopt(2): errors come with the kernel's own words (kernel 4.12), and without the request that failed. */
export function wantWords(fd: Fd): Call<void>[] {
  const one = new Struct(4, [[0, 4, 1]], false, () => "1");
  return [OPTION.NETLINK_EXT_ACK, OPTION.NETLINK_CAP_ACK].map((option) =>
    effect("setsockopt", fd, named(SOL.SOL_NETLINK, SOL), named(option, OPTION), one, 4)
  );
}

/** setsockopt(2) NETLINK_GET_STRICT_CHK, kernel 4.20: dumps are of what the request asks for, not of everything. */
export function wantStrict(fd: Fd): Call<void> {
  const one = new Struct(4, [[0, 4, 1]], false, () => "1");
  const option = named(OPTION.NETLINK_GET_STRICT_CHK, OPTION);
  return effect("setsockopt", fd, named(SOL.SOL_NETLINK, SOL), option, one, 4);
}

/** setsockopt(2) SO_RCVTIMEO: a receive that waits longer fails with EAGAIN. */
export function receiveTimeout(fd: Fd, ms: number): Call<void> {
  const fields = [[0, 8, Math.floor(ms / 1000)], [8, 8, (ms % 1000) * 1000]] as const;
  const time = new Struct(16, fields, false, () => `${ms} ms`);
  return effect("setsockopt", fd, named(SOL.SOL_SOCKET, SOL), SO_RCVTIMEO, time, 16);
}

/** sendto(2) to the kernel. */
export function netlinkSend(fd: Fd, message: Uint8Array): Call<number> {
  return call("sendto", fd, message, message.length, 0, 0, 0);
}

/** A datagram that came. */
export interface NetlinkDatagram {
  /** What came of it, no more than there was room for. */
  readonly bytes: Uint8Array;
  /** How long it was. */
  readonly length: number;
  /** Whose it is: 0 for the kernel. */
  readonly port: number;
}

/** recvfrom(2): the next datagram. EAGAIN: none came in time; ENOBUFS: some were lost. */
export function netlinkReceive(fd: Fd, size: number): Call<NetlinkDatagram> {
  const data = out(size);
  const address = out(ADDRESS.size);
  const length = new Struct(4, [[0, 4, ADDRESS.size]], true);
  const how = flags(MSG_TRUNC, { MSG_TRUNC });
  return new SystemCall("recvfrom", [fd, data, size, how, address, length], (received) => ({
    bytes: data.bytes.subarray(0, Math.min(received, size)),
    length: received,
    port: address.view().getUint32(ADDRESS.port, true),
  }));
}
