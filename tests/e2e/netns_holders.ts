// Network namespaces that one thing alone keeps, made by stubs: a stub enters a new namespace, takes hold of it, and goes
// back. It is a child of the test and ends with it, so nothing can be left.
import { call } from "../../ffi/call.ts";
import type { Remote } from "../../ffi/remote.ts";
import { AT_FDCWD, O } from "../../ffi/abi/file_flags.ts";
import { MS_BIND, MS_PRIVATE, MS_REC } from "../../ffi/abi/mount_flags.ts";
import { CLONE } from "../../ffi/abi/process_flags.ts";
import { close, openat, statx } from "../../ffi/syscalls/file.ts";
import { mount } from "../../ffi/syscalls/mount.ts";
import { setns, unshare } from "../../ffi/syscalls/namespace.ts";
import { withStub } from "../ffi_world.ts";

const AF_UNIX = 1;
const AF_INET = 2;
const AF_NETLINK = 16;
const [SOCK_STREAM, SOCK_DGRAM, SOCK_RAW] = [1, 2, 3] as const;
const NET = "/proc/thread-self/ns/net";

/** What a stub can hold a namespace by; the descriptor, if it is one. */
export type Hold = (stub: Remote, file: string) => number | undefined;

/** Ways to hold a namespace, by the kind that `belay netns list` tells. */
export const HOLDS: Readonly<Record<"nsfs" | "socket" | "tun" | "mount", Hold>> = {
  nsfs: (stub) => stub.call(openat(AT_FDCWD, NET, O.O_RDONLY)),
  socket: (stub) => stub.call(call("socket", AF_NETLINK, SOCK_RAW, 0)),
  tun: (stub) => stub.call(openat(AT_FDCWD, "/dev/net/tun", O.O_RDWR)),
  mount: (stub, file) => {
    stub.batch([
      unshare(CLONE.CLONE_NEWNS),
      mount("none", "/", 0, MS_REC | MS_PRIVATE),
      mount(NET, file, 0, MS_BIND),
    ]);
    return undefined;
  },
};

/** Sockets: what they are called, and how they are made. */
export const SOCKETS: readonly (readonly [protocol: string, family: number, type: number])[] = [
  ["UNIX", AF_UNIX, SOCK_STREAM],
  ["TCP", AF_INET, SOCK_STREAM],
  ["UDP", AF_INET, SOCK_DGRAM],
  ["NETLINK_ROUTE", AF_NETLINK, SOCK_RAW],
];

/** A namespace that is held, and by whom. */
export interface Held {
  readonly inode: number;
  readonly pid: number;
  /** The descriptor's number in that process. */
  readonly fd: number | undefined;
  readonly stub: Remote;
}

/** Makes a namespace, has it held, does something, and lets it go. */
export async function held<T>(
  hold: Hold,
  file: string,
  work: (held: Held) => Promise<T>,
): Promise<T> {
  return await withStub(async (stub) => {
    const home = stub.call(openat(AT_FDCWD, NET, O.O_RDONLY));
    stub.call(unshare(CLONE.CLONE_NEWNET));
    const inode = Number(stub.call(statx(AT_FDCWD, NET, 0)).ino);
    const fd = hold(stub, file);
    stub.batch([setns(home, CLONE.CLONE_NEWNET), close(home)]);
    return await work({ inode, fd, stub, pid: stub.pidfd.pid });
  }, "holder");
}
