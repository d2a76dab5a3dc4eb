import { RECORD, RECORD_WORDS } from "../../../ffi/task_iterators.ts";
import type { Discovery, Netns, SocketRun } from "./discover.ts";

/** What can hold a network namespace. */
export const HOLDER_KINDS = ["process", "thread", "mount", "nsfs", "socket", "tun"] as const;

/** One of these. */
export type HolderKind = typeof HOLDER_KINDS[number];

/** Something that holds a network namespace, as `--json` tells it. */
export interface Holder {
  readonly kind: HolderKind;
  /** The process; of a mount: one that sees it. */
  readonly pid: number;
  readonly comm: string;
  /** The thread, where it is not the first of its process or has descriptors of its own. */
  readonly tid?: number;
  /** The descriptor's number. */
  readonly fd?: number;
  /** Where it is mounted, as that process sees it, and in which mount namespace. */
  readonly path?: string;
  readonly mountNamespace?: number;
  /** `NETLINK_ROUTE`, `TCP`, `UNIX`, … */
  readonly protocol?: string;
  /** The socket's inode, as in /proc/PID/fd. */
  readonly inode?: number;
}

/** The kinds of holders that a namespace has. */
export function kindsOf(netns: Netns): Set<HolderKind> {
  const kinds = new Set<HolderKind>();
  for (const { pid, tid } of netns.threads) kinds.add(tid === pid ? "process" : "thread");
  if (netns.mounts.length > 0) kinds.add("mount");
  for (const { kind } of netns.descriptors) kinds.add(kind);
  if (netns.sockets.length > 0) kinds.add("socket");
  return kinds;
}

/** Every holder, one by one. */
export function holdersOf(netns: Netns, { comm }: Discovery): Holder[] {
  const thread = (pid: number, tid: number) => tid === pid ? {} : { tid };
  return [
    ...netns.threads.map(({ pid, tid, comm }): Holder => ({
      ...{ kind: tid === pid ? "process" : "thread", pid, comm },
      ...thread(pid, tid),
    })),
    ...netns.mounts.map(({ path, mountNamespace, through }): Holder => ({
      ...{ kind: "mount", path, mountNamespace, pid: through.pid, comm: through.comm },
    })),
    ...netns.descriptors.map(({ kind, pid, tid, fd }): Holder => ({
      ...{ kind, pid, fd, comm: comm(pid) },
      ...thread(pid, tid),
    })),
    ...netns.sockets.flatMap((run) =>
      socketsOf(run).map((socket): Holder => ({
        ...{ kind: "socket", pid: run.pid, comm: comm(run.pid) },
        ...thread(run.pid, run.tid),
        ...socket,
      }))
    ),
  ];
}

/** The sockets of a run. */
export function socketsOf(
  { piece, start, count }: SocketRun,
): { fd: number; protocol: string; inode: number }[] {
  return Array.from({ length: count }, (_, i) => {
    const at = start + i * RECORD_WORDS;
    const type = piece[at + RECORD.socketType] ?? 0;
    return {
      fd: piece[at + RECORD.fd] ?? 0,
      protocol: protocolName(type & 0xffff, type >>> 16, piece[at + RECORD.protocol] ?? 0),
      inode: piece[at + RECORD.inode] ?? 0,
    };
  });
}

/** linux/netlink.h */
const NETLINK: Readonly<Record<number, string>> = {
  ...{ 0: "ROUTE", 2: "USERSOCK", 4: "SOCK_DIAG", 5: "NFLOG", 6: "XFRM", 7: "SELINUX" },
  ...{ 8: "ISCSI", 9: "AUDIT", 10: "FIB_LOOKUP", 11: "CONNECTOR", 12: "NETFILTER" },
  ...{ 15: "KOBJECT_UEVENT", 16: "GENERIC", 18: "SCSITRANSPORT", 19: "ECRYPTFS", 20: "RDMA" },
  ...{ 21: "CRYPTO", 22: "SMC" },
};

/** linux/in.h */
const IP: Readonly<Record<number, string>> = {
  ...{ 1: "ICMP", 2: "IGMP", 6: "TCP", 17: "UDP", 33: "DCCP", 58: "ICMPV6", 132: "SCTP" },
  ...{ 136: "UDPLITE", 262: "MPTCP" },
};

/** linux/socket.h: families that are named without their protocol. */
const FAMILY: Readonly<Record<number, string>> = {
  ...{ 1: "UNIX", 15: "KEY", 17: "PACKET", 21: "RDS", 29: "CAN", 30: "TIPC", 31: "BLUETOOTH" },
  ...{ 38: "ALG", 39: "NFC", 40: "VSOCK", 43: "SMC", 44: "XDP" },
};

const [AF_INET, AF_INET6, AF_NETLINK] = [2, 10, 16];
const SOCK_RAW = 3;

/** What people call a socket: `NETLINK_ROUTE`, `TCP`, `UDP6`, `RAW`, `UNIX`, `PACKET`. */
export function protocolName(family: number, type: number, protocol: number): string {
  if (family === AF_NETLINK) return `NETLINK_${NETLINK[protocol] ?? protocol}`;
  if (family !== AF_INET && family !== AF_INET6) return FAMILY[family] ?? `AF_${family}`;
  const name = type === SOCK_RAW ? "RAW" : IP[protocol] ?? `IP_${protocol}`;
  return name + (family === AF_INET6 && !name.endsWith("6") ? "6" : "");
}
