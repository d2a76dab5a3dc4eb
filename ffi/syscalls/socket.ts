/**
 * Unix sockets and the descriptors that travel over them.
 *
 * @module
 */
import { ERRNO } from "../abi/errno.ts";
import { SyscallError } from "../syscall_error.ts";
import {
  type Call,
  Call as SystemCall,
  call,
  effect,
  type Fd,
  out,
  Place,
  Shown,
  Struct,
} from "../call.ts";
import { flags, named } from "../show.ts";

/** Address families, of which belay speaks one. */
export const AF_UNIX = 1;

/** Socket types and the flag for close-on-exec (linux/net.h). */
export const SOCK = { SOCK_STREAM: 1, SOCK_SEQPACKET: 5, SOCK_CLOEXEC: 0o2000000 } as const;

/** sendmsg(2), recvmsg(2) flags. */
export const MSG = {
  MSG_PEEK: 0x2,
  MSG_DONTWAIT: 0x40,
  MSG_NOSIGNAL: 0x4000,
  MSG_CMSG_CLOEXEC: 0x40000000,
} as const;

const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;

function typed(type: number): Shown {
  const kind = type === SOCK.SOCK_STREAM ? "SOCK_STREAM" : "SOCK_SEQPACKET";
  return new Shown(type | SOCK.SOCK_CLOEXEC, () => `${kind}|SOCK_CLOEXEC`);
}

/** socket(2) of AF_UNIX, close-on-exec. */
export function socket(type: number): Call<number> {
  return call("socket", named(AF_UNIX, { AF_UNIX }), typed(type), 0);
}

/** socketpair(2) of AF_UNIX, close-on-exec. */
export function socketpair(type: number): Call<readonly [number, number]> {
  const pair = out(8);
  return new SystemCall(
    "socketpair",
    [named(AF_UNIX, { AF_UNIX }), typed(type), 0, pair],
    () => [pair.view().getInt32(0, true), pair.view().getInt32(4, true)] as const,
  );
}

/** Bytes that a path in a sockaddr_un may have, its NUL included (unix(7)). */
export const UNIX_PATH_MAX = 108;

function address(path: string): { struct: Struct; size: number } {
  const bytes = new TextEncoder().encode(path);
  if (bytes.length >= UNIX_PATH_MAX) {
    throw new RangeError(`${path}: a socket's path has at most ${UNIX_PATH_MAX - 1} bytes`);
  }
  const fields = [...bytes].map((byte, i) => [2 + i, 1, byte] as const);
  const size = 2 + bytes.length + 1;
  return {
    struct: new Struct(size, [[0, 2, AF_UNIX], ...fields], false, () => JSON.stringify(path)),
    size,
  };
}

/** bind(2) to a path. EADDRINUSE: it exists. @throws RangeError for a path of 108 bytes or more. */
export function bind(fd: Fd, path: string): Call<void> {
  const { struct, size } = address(path);
  return effect("bind", fd, struct, size);
}

/** connect(2) to a path. ECONNREFUSED: nobody listens any more. @throws RangeError as `bind`. */
export function connect(fd: Fd, path: string): Call<void> {
  const { struct, size } = address(path);
  return effect("connect", fd, struct, size);
}

const SO_SNDTIMEO = 21;

/** setsockopt(2) SO_SNDTIMEO: a connect or a send that waits longer fails with EAGAIN. */
export function setSendTimeout(fd: Fd, seconds: number): Call<void> {
  const text = () => `{${seconds} s}`;
  const time = new Struct(16, [[0, 8, seconds], [8, 8, 0]], false, text);
  const option = named(SO_SNDTIMEO, { SO_SNDTIMEO });
  return effect("setsockopt", fd, named(SOL_SOCKET, { SOL_SOCKET }), option, time, 16);
}

/** listen(2). */
export function listen(fd: Fd, backlog: number): Call<void> {
  return effect("listen", fd, backlog);
}

/** accept4(2), close-on-exec. */
export function accept4(fd: Fd): Call<number> {
  return call("accept4", fd, 0, 0, flags(SOCK.SOCK_CLOEXEC, SOCK));
}

/** recvfrom(2) into memory at an address: how many bytes came, 0 when the peer is gone. */
export function recvfrom(fd: Fd, into: bigint, size: number): Call<number> {
  return call("recvfrom", fd, into, size, 0, 0, 0);
}

/** recvfrom(2) that leaves the message where it is: 0 when the peer is gone, 1 for a message of one byte, else 2. */
export function peek(fd: Fd): Call<number> {
  return call("recvfrom", fd, out(2), 2, flags(MSG.MSG_PEEK, MSG), 0, 0);
}

/** sendto(2) from memory at an address. EPIPE: the peer is gone. */
export function sendto(fd: Fd, from: bigint, size: number): Call<number> {
  return call("sendto", fd, from, size, flags(MSG.MSG_NOSIGNAL, MSG), 0, 0);
}

/** A message with one byte of data and up to `room` descriptors (unix(7), cmsg(3)). */
export class DescriptorMessage {
  readonly #control: Struct;
  readonly #header: Struct;

  /**
   * @param fds The descriptors to send, or how many may be received.
   * @param text What is sent with them; one byte, or nothing that is read, when absent.
   */
  constructor(fds: readonly number[] | number, text?: string) {
    const count = typeof fds === "number" ? fds : fds.length;
    const sent = typeof fds === "number" ? [] : fds.map((fd, i) => [16 + i * 4, 4, fd] as const);
    const room = 16 + ((count * 4 + 7) & ~7);
    // Out, also when it is sent: a pidfd may be written into it by the call before (clone3).
    this.#control = new Struct(
      room,
      [[0, 8, 16 + count * 4], [8, 4, SOL_SOCKET], [12, 4, SCM_RIGHTS], ...sent],
      true,
    );
    const data = text === undefined ? new Struct(1, [], true) : new TextEncoder().encode(text);
    const length = data instanceof Struct ? data.size : data.length;
    const vector = new Struct(16, [[0, 8, data], [8, 8, length]], true);
    const shown = typeof fds === "number" ? "SCM_RIGHTS" : `SCM_RIGHTS [${fds.join(", ")}]`;
    this.#header = new Struct(
      56,
      [[16, 8, vector], [24, 8, 1], [32, 8, this.#control], [40, 8, room]],
      true,
      () => shown,
    );
  }

  /** Where the i-th descriptor's number stands. */
  slot(i: number): Place {
    return new Place(this.#control, 16 + i * 4);
  }

  /** sendmsg(2). EPIPE: the peer is gone. */
  send(fd: Fd): Call<number> {
    return call("sendmsg", fd, this.#header, flags(MSG.MSG_NOSIGNAL, MSG));
  }

  /**
   * recvmsg(2), the descriptors close-on-exec. Empty when the peer is gone or sent none.
   * EAGAIN with MSG_DONTWAIT: nothing is there.
   */
  receive(fd: Fd, receiveFlags = 0): Call<number[]> {
    const control = this.#control;
    return new SystemCall(
      "recvmsg",
      [fd, this.#header, flags(receiveFlags | MSG.MSG_CMSG_CLOEXEC, MSG)],
      () => {
        if (Number(this.#header.view().getBigUint64(40, true)) < 20) return [];
        const count = (Number(control.view().getBigUint64(0, true)) - 16) / 4;
        return Array.from({ length: count }, (_, i) => control.view().getInt32(16 + i * 4, true));
      },
    );
  }
}

/**
 * Descriptors that were received, if they are all that were sent: the kernel leaves out what their receiver has no room
 * for, and says nothing (unix(7), MSG_CTRUNC).
 * @throws SyscallError EMFILE
 */
export function allReceived(count: number, received: number[], receiver: string): number[] {
  if (received.length === count) return received;
  throw new SyscallError("recvmsg", ERRNO.EMFILE, `recvmsg of ${count} descriptors by ${receiver}`);
}
