/**
 * TAP devices (linux/if_tun.h).
 *
 * @module
 */
import { type Call, Call as SystemCall, effect, type Fd, Struct } from "../call.ts";
import { flags, named } from "../show.ts";
import { openat } from "./file.ts";
import { AT_FDCWD, O } from "../abi/file_flags.ts";

/** Requests of ioctl(2). */
export const TUN_IOCTL = {
  TUNSETIFF: 0x400454ca,
  TUNSETPERSIST: 0x400454cb,
  TUNGETIFF: 0x800454d2,
} as const;

/** TUNSETIFF flags (linux/if_tun.h). */
export const IFF = {
  IFF_TUN: 0x1,
  IFF_TAP: 0x2,
  IFF_MULTI_QUEUE: 0x100,
  IFF_PERSIST: 0x800,
  IFF_NO_PI: 0x1000,
  IFF_VNET_HDR: 0x4000,
} as const;

/** Bytes of a link's name, its NUL included (linux/if.h). */
export const IFNAMSIZ = 16;
/** struct ifreq: a name, then what is asked. */
const IFREQ_SIZE = 40;

/**
 * Opens /dev/net/tun, close-on-exec and non-blocking. What is made through it belongs to the network namespace of the
 * thread that opens it, whoever asks for the link later.
 */
export function openTun(): Call<number> {
  return openat(AT_FDCWD, "/dev/net/tun", O.O_RDWR | O.O_NONBLOCK);
}

/**
 * ioctl(2) TUNSETIFF: makes a link, or attaches to a persistent one; its name. The link goes with the last descriptor,
 * unless it was made persistent. EBUSY: somebody is attached to it.
 * @param name At most 15 bytes; a `%d` in it becomes the first number that is free.
 * @throws RangeError for a longer name.
 */
export function tunSetIff(fd: Fd, name: string, ifFlags: number): Call<string> {
  const bytes = new TextEncoder().encode(name);
  if (bytes.length >= IFNAMSIZ) {
    throw new RangeError(`${name}: a link's name has at most ${IFNAMSIZ - 1} bytes`);
  }
  const request = new Struct(
    IFREQ_SIZE,
    [...[...bytes].map((byte, i) => [i, 1, byte] as const), [IFNAMSIZ, 2, ifFlags]],
    true,
    () => `{${JSON.stringify(name)}, ${flags(ifFlags, IFF).text()}}`,
  );
  return new SystemCall(
    "ioctl",
    [fd, named(TUN_IOCTL.TUNSETIFF, TUN_IOCTL), request],
    () => nameIn(request),
  );
}

/** ioctl(2) TUNGETIFF: the link of an open /dev/net/tun, and its flags. EBADFD: it has none. */
export function tunGetIff(fd: Fd): Call<{ readonly name: string; readonly flags: number }> {
  const request = new Struct(IFREQ_SIZE, [], true);
  return new SystemCall("ioctl", [fd, named(TUN_IOCTL.TUNGETIFF, TUN_IOCTL), request], () => ({
    name: nameIn(request),
    flags: request.view().getUint16(IFNAMSIZ, true),
  }));
}

/** ioctl(2) TUNSETPERSIST: whether the link outlives its last descriptor. */
export function tunSetPersist(fd: Fd, persist: boolean): Call<void> {
  return effect("ioctl", fd, named(TUN_IOCTL.TUNSETPERSIST, TUN_IOCTL), persist ? 1 : 0);
}

function nameIn(request: Struct): string {
  const bytes = request.bytes.subarray(0, IFNAMSIZ);
  return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
}
