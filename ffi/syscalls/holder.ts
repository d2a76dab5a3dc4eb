/**
 * What other processes' descriptors hold: sockets, namespaces, /dev/net/tun (socket(7), ioctl_nsfs(2), linux/if_tun.h).
 *
 * @module
 */
import { type Call, Call as SystemCall, call, type Fd, out } from "../call.ts";
import { named } from "../show.ts";

/** Requests of ioctl(2). */
export const HOLDER_IOCTL = {
  SIOCGSKNS: 0x894c,
  NS_GET_USERNS: 0xb701,
  NS_GET_PARENT: 0xb702,
  TUNGETDEVNETNS: 0x54e3,
} as const;

const SOL_SOCKET = 1;

/** Options of SOL_SOCKET that say what a socket is; SO_NETNS_COOKIE from kernel 5.14. */
export const SO = { SO_TYPE: 3, SO_PROTOCOL: 38, SO_DOMAIN: 39, SO_NETNS_COOKIE: 71 } as const;

const KCMP_FILES = 2;

/**
 * SIOCGSKNS: a descriptor of the network namespace that a socket, or a descriptor of /dev/net/tun, belongs to.
 * EPERM: without CAP_NET_ADMIN over that namespace.
 */
export function socketNamespace(socket: Fd): Call<number> {
  return call("ioctl", socket, named(HOLDER_IOCTL.SIOCGSKNS, HOLDER_IOCTL), 0);
}

/** NS_GET_USERNS, kernel 4.9: a descriptor of the user namespace that owns a namespace. EPERM: it is out of sight. */
export function owningUserNamespace(namespace: Fd): Call<number> {
  return call("ioctl", namespace, named(HOLDER_IOCTL.NS_GET_USERNS, HOLDER_IOCTL), 0);
}

/** NS_GET_PARENT, kernel 4.9: a descriptor of the user namespace above. EPERM: there is none, or none in sight. */
export function parentNamespace(userNamespace: Fd): Call<number> {
  return call("ioctl", userNamespace, named(HOLDER_IOCTL.NS_GET_PARENT, HOLDER_IOCTL), 0);
}

/** TUNGETDEVNETNS, kernel 5.2: a descriptor of the namespace that the device behind /dev/net/tun is in by now. */
export function tunDeviceNamespace(tun: Fd): Call<number> {
  return call("ioctl", tun, named(HOLDER_IOCTL.TUNGETDEVNETNS, HOLDER_IOCTL), 0);
}

/** getsockopt(2) of one of `SO`: 64 bits of SO_NETNS_COOKIE, 32 of the others. ENOTSOCK: this is no socket. */
export function socketOption(socket: Fd, option: number): Call<bigint> {
  const size = option === SO.SO_NETNS_COOKIE ? 8 : 4;
  const value = out(8);
  const length = new Uint8Array([size, 0, 0, 0]);
  return new SystemCall(
    "getsockopt",
    [socket, named(SOL_SOCKET, { SOL_SOCKET }), named(option, SO), value, length],
    () => value.view().getBigUint64(0, true),
  );
}

/** kcmp(2) KCMP_FILES: 0 when two threads share their table of descriptors. ENOSYS: CONFIG_KCMP is off. */
export function compareFiles(one: number, other: number): Call<number> {
  return call("kcmp", one, other, named(KCMP_FILES, { KCMP_FILES }), 0, 0);
}

const PIDFD_THREAD = 0o200;

/** pidfd_open(2) of a thread, kernel 6.9: for what only that thread has. EINVAL: an older kernel. */
export function pidfd_open_thread(tid: number): Call<number> {
  return call("pidfd_open", tid, named(PIDFD_THREAD, { PIDFD_THREAD }));
}
