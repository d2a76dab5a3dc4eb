/**
 * Bytes over a unix stream socket, for a conversation with a service of the machine. The socket is `socket()`'s.
 *
 * @module
 */
import { type Call, Call as SystemCall, call, effect, type Fd, out, Struct } from "../call.ts";
import { flags, named } from "../show.ts";
import { AF_UNIX, MSG, UNIX_PATH_MAX } from "./socket.ts";

const SOL_SOCKET = 1;
const OPTION = { SO_RCVTIMEO: 20, SO_SNDTIMEO: 21 } as const;

/** connect(2) to a name that no file has (unix(7), "abstract"). @throws RangeError for a name of 108 bytes or more. */
export function connectAbstract(fd: Fd, name: string): Call<void> {
  const bytes = new TextEncoder().encode(name);
  if (bytes.length >= UNIX_PATH_MAX) {
    throw new RangeError(`${name}: a socket's name has at most ${UNIX_PATH_MAX - 1} bytes`);
  }
  const fields = [...bytes].map((byte, i) => [3 + i, 1, byte] as const);
  const size = 3 + bytes.length;
  const text = () => JSON.stringify(`@${name}`);
  return effect("connect", fd, new Struct(size, [[0, 2, AF_UNIX], ...fields], false, text), size);
}

/** setsockopt(2): sends, connects and receives that wait longer fail with EAGAIN. */
export function streamTimeouts(fd: Fd, ms: number): Call<void>[] {
  const fields = [[0, 8, Math.floor(ms / 1000)], [8, 8, (ms % 1000) * 1000]] as const;
  return [OPTION.SO_SNDTIMEO, OPTION.SO_RCVTIMEO].map((option) => {
    const time = new Struct(16, fields, false, () => `${ms} ms`);
    const level = named(SOL_SOCKET, { SOL_SOCKET });
    return effect("setsockopt", fd, level, named(option, OPTION), time, 16);
  });
}

/** sendto(2): how many of the bytes were taken. EPIPE: the peer is gone. */
export function streamSend(fd: Fd, bytes: Uint8Array): Call<number> {
  return call("sendto", fd, bytes, bytes.length, flags(MSG.MSG_NOSIGNAL, MSG), 0, 0);
}

/** recvfrom(2): the bytes that are there, at most `size`; none when the peer is gone. */
export function streamReceive(fd: Fd, size: number): Call<Uint8Array> {
  const data = out(size);
  return new SystemCall(
    "recvfrom",
    [fd, data, size, 0, 0, 0],
    (received) => data.bytes.slice(0, received),
  );
}
