/**
 * Two programs for BPF iterators, which tell of every thread and of every open file what has to do with network
 * namespaces. One walk over 10,000 descriptors takes the kernel 2 ms; over /proc, where each costs a readlink(2), 50.
 *
 * They write records of `RECORD_WORDS` 32-bit words: see `RECORD`. They only read, and every pointer is followed so
 * that a wrong one reads as 0.
 *
 * @module
 */
import {
  add,
  addRegister,
  and,
  type BpfInstruction,
  callHelper,
  encodeInstructions,
  finish,
  FP,
  ldx,
  move,
  set,
  shiftLeft,
  skipIfDifferent,
  skipIfEqual,
  skipIfNot,
  skipIfSame,
  stx,
} from "./abi/bpf_instructions.ts";
import type { BtfAnswers } from "./btf.ts";

/** The kernel's iterators. */
export const ITERATORS = ["bpf_iter_task", "bpf_iter_task_file"] as const;

/** What the programs must know of the kernel's structs. */
export const ITERATOR_MEMBERS = [
  ...["task_struct.flags", "task_struct.comm", "task_struct.nsproxy"] as const,
  ...[
    "task_struct.thread_pid",
    "task_struct.group_leader",
    "task_struct.pid",
    "task_struct.tgid",
  ] as const,
  ...["pid.level", "pid.numbers", "nsproxy.net_ns", "nsproxy.mnt_ns"] as const,
  ...["net.ns", "net.user_ns", "user_namespace.ns", "mnt_namespace.ns"] as const,
  ...["ns_common.inum", "ns_common.ops", "inode.i_private"] as const,
  ...["file.f_inode", "file.private_data", "inode.i_mode", "inode.i_rdev", "inode.i_sb"] as const,
  ...["inode.i_ino", "super_block.s_magic", "socket.sk", "sock.__sk_common"] as const,
  ...["sock.sk_type", "sock.sk_protocol", "sock_common.skc_family", "sock_common.skc_net"] as const,
] as const;

/** One of them. */
export type IteratorMember = typeof ITERATOR_MEMBERS[number];

/** The kinds of records. */
export const SEEN = { thread: 0, socket: 1, nsfs: 2, tun: 3 } as const;

/** 32-bit words of a record. */
export const RECORD_WORDS = 12;

/** Where the words of a record are; `comm` only in a thread's, what follows it only in a file's. */
export const RECORD = {
  kind: 0,
  /** The process, as the first pid namespace counts it; a thread's record tells what its number is here. */
  pid: 1,
  /** The thread, as this process's pid namespace counts it; 0 for a process's first one in a file's record. */
  tid: 2,
  /** The inode of the network namespace. */
  netns: 3,
  /** The inode of the user namespace that owns it. */
  owner: 4,
  /** A thread's mount namespace. */
  mountNamespace: 5,
  /** 16 bytes of a thread's name. */
  comm: 6,
  /** Of a thread's process: its number here. */
  number: 10,
  fd: 5,
  /** Family in the lower half, type in the upper. */
  socketType: 6,
  protocol: 7,
  /** The file's inode, the lower half. */
  inode: 8,
} as const;

/** Helper functions of BPF (linux/bpf.h, enum bpf_func_id). */
const GET_CURRENT_TASK = 35;
const PROBE_READ_KERNEL = 113;
const SEQ_WRITE = 127;
/** From kernel 5.11. */
const SOCK_FROM_FILE = 162;

const PF_KTHREAD = 0x00200000;
const S_IFMT = 0xf000;
const S_IFSOCK = 0xc000;
const S_IFCHR = 0x2000;
const S_IFREG = 0x8000;
/** linux/magic.h, fs/nsfs.c */
const NSFS_MAGIC = 0x6e736673;
/** /dev/net/tun as the kernel itself encodes it: major 10, minor 200. */
const TUN_DEVICE = (10 << 20) | 200;

/** The stack: the record, and below it two pointers. */
const RECORD_AT = -RECORD_WORDS * 4;
const POINTER = RECORD_AT - 8;
const LEVEL = POINTER - 8;

/** Gives a member's offset. */
type OffsetOf = (member: IteratorMember) => number;

/**
 * The program for threads; those that share the namespaces of their process's first thread are left out.
 *
 * It reads by bpf_probe_read_kernel() and not by plain loads: for each load of a pointer from a `task_struct` the
 * verifier of some kernels searches all of BTF for a struct that says whether to trust it (6.18: 10 ms altogether).
 */
export function threadProgram({ members }: BtfAnswers): Uint8Array {
  const at: OffsetOf = (member) => offset(members, member);
  const [context, task, proxy, leader] = [6, 7, 8, 9];
  const namespaces: BpfInstruction[] = [
    ...readPointer(proxy, task, at("task_struct.nsproxy")),
    ...endIf((count) => skipIfNot(proxy, 0, count)), // it is ending
    ...readPointer(leader, proxy, at("nsproxy.net_ns")),
    ...read(word("netns"), 4, leader, at("net.ns") + at("ns_common.inum")),
    ...readPointer(leader, leader, at("net.user_ns")),
    ...read(word("owner"), 4, leader, at("user_namespace.ns") + at("ns_common.inum")),
    ...readPointer(leader, proxy, at("nsproxy.mnt_ns")),
    ...read(word("mountNamespace"), 4, leader, at("mnt_namespace.ns") + at("ns_common.inum")),
    ...readPointer(leader, task, at("task_struct.nsproxy")),
  ];
  const sameAsLeader = [
    ...readPointer(1, leader, at("task_struct.nsproxy")),
    ...endIf((count) => skipIfDifferent(1, proxy, count)),
  ];
  return encodeInstructions([
    move(context, 1),
    ldx(8, task, context, 8),
    ...endIf((count) => skipIfNot(task, 0, count)),
    ...emptyRecord(SEEN.thread),
    // Kernel threads live in the first network namespace, which never ends.
    ldx(4, 1, task, at("task_struct.flags")),
    and(1, PF_KTHREAD),
    ...endIf((count) => skipIfEqual(1, 0, count)),
    ...namespaces,
    // What it changed meanwhile was given back, and may be somebody else's by now: it is read once more.
    skipIfSame(leader, proxy, namespaces.length),
    ...namespaces,
    ...readPointer(leader, task, at("task_struct.group_leader")),
    skipIfSame(leader, task, sameAsLeader.length),
    ...sameAsLeader,
    ldx(4, 1, task, at("task_struct.tgid")),
    stx(4, FP, word("pid"), 1),
    ...number(at, word("tid"), task),
    ...number(at, word("number"), leader),
    ...read(word("comm"), 16, task, at("task_struct.comm")),
    ...writeRecord(context),
  ]);
}

/** The program for open files: sockets, namespaces and /dev/net/tun. Tables of files that threads share come once. */
export function fileProgram({ members }: BtfAnswers): Uint8Array {
  const at: OffsetOf = (member) => offset(members, member);
  const [context, task, file, inode] = [6, 7, 8, 9];
  const ownThread = number(at, word("tid"), task);
  const tell = [
    ldx(4, 1, task, at("task_struct.tgid")),
    stx(4, FP, word("pid"), 1),
    ldx(4, 2, task, at("task_struct.pid")),
    skipIfSame(1, 2, ownThread.length),
    ...ownThread,
    ...writeRecord(context),
  ];
  const descriptor = (kind: number) => [
    ...emptyRecord(kind),
    ldx(8, 1, inode, at("inode.i_ino")),
    stx(4, FP, word("inode"), 1),
    ldx(4, 1, context, 16),
    stx(4, FP, word("fd"), 1),
  ];
  const socket = [
    move(1, file),
    callHelper(SOCK_FROM_FILE),
    ...endIf((count) => skipIfNot(0, 0, count)), // a path to one, or opened with O_PATH
    ldx(8, 0, 0, at("socket.sk")),
    ...endIf((count) => skipIfNot(0, 0, count)), // closed
    ...descriptor(SEEN.socket),
    ldx(2, 1, 0, at("sock.__sk_common") + at("sock_common.skc_family")),
    stx(2, FP, word("socketType"), 1),
    ldx(2, 1, 0, at("sock.sk_type")),
    stx(2, FP, word("socketType") + 2, 1),
    ldx(2, 1, 0, at("sock.sk_protocol")),
    stx(2, FP, word("protocol"), 1),
    ldx(8, 0, 0, at("sock.__sk_common") + at("sock_common.skc_net")),
    ldx(4, 1, 0, at("net.ns") + at("ns_common.inum")),
    stx(4, FP, word("netns"), 1),
    ldx(8, 0, 0, at("net.user_ns")),
    ldx(4, 1, 0, at("user_namespace.ns") + at("ns_common.inum")),
    stx(4, FP, word("owner"), 1),
    ...tell,
  ];
  const namespace = [
    ldx(8, 1, inode, at("inode.i_sb")),
    ldx(8, 1, 1, at("super_block.s_magic")),
    ...endIf((count) => skipIfEqual(1, NSFS_MAGIC, count)),
    ...descriptor(SEEN.nsfs),
    // It is one of a network if it has the same functions as the one that the reader is in.
    callHelper(GET_CURRENT_TASK),
    ...readPointer(3, 0, at("task_struct.nsproxy")),
    ...readPointer(3, 3, at("nsproxy.net_ns")),
    ...readPointer(8, 3, at("net.ns") + at("ns_common.ops")),
    ldx(8, 9, inode, at("inode.i_private")),
    ...readPointer(1, 9, at("ns_common.ops")),
    ...endIf((count) => skipIfSame(1, 8, count)),
    ...network(at, -at("net.ns")),
    ...tell,
  ];
  const tun = [
    ldx(4, 1, inode, at("inode.i_rdev")),
    ...endIf((count) => skipIfEqual(1, TUN_DEVICE, count)),
    ...descriptor(SEEN.tun),
    ldx(8, 9, file, at("file.private_data")), // struct tun_file, which begins with a struct sock
    ...endIf((count) => skipIfNot(9, 0, count)),
    ...readPointer(9, 9, at("sock.__sk_common") + at("sock_common.skc_net")),
    ...network(at, 0),
    ...tell,
  ];
  const blocks = [[S_IFSOCK, socket], [S_IFREG, namespace], [S_IFCHR, tun]] as const;
  return encodeInstructions([
    move(context, 1),
    ldx(8, task, context, 8),
    ...endIf((count) => skipIfNot(task, 0, count)),
    ldx(8, file, context, 24),
    ...endIf((count) => skipIfNot(file, 0, count)),
    ldx(8, inode, file, at("file.f_inode")),
    ldx(2, 1, inode, at("inode.i_mode")),
    and(1, S_IFMT),
    ...blocks.flatMap(([mode, block]) => [skipIfNot(1, mode, block.length), ...block]),
    ...finish(),
  ]);
}

/** What is told of the `struct net` that lies at r9 + offset. */
function network(at: OffsetOf, from: number): BpfInstruction[] {
  return [
    ...read(word("netns"), 4, 9, from + at("net.ns") + at("ns_common.inum")),
    ...readPointer(9, 9, from + at("net.user_ns")),
    ...read(word("owner"), 4, 9, at("user_namespace.ns") + at("ns_common.inum")),
  ];
}

/** The number of a thread in the pid namespace of whoever reads. */
function number(at: OffsetOf, field: number, of: number): BpfInstruction[] {
  return [
    set(1, 0),
    stx(8, FP, LEVEL, 1),
    callHelper(GET_CURRENT_TASK),
    ...readPointer(3, 0, at("task_struct.thread_pid")),
    ...readFrom3(LEVEL, 4, at("pid.level")),
    ...readPointer(3, of, at("task_struct.thread_pid")),
    ldx(8, 1, FP, LEVEL),
    shiftLeft(1, 4), // struct upid: 16 bytes
    addRegister(3, 1),
    ...readFrom3(field, 4, at("pid.numbers")),
  ];
}

/** Reads what lies at a register + offset to the stack; what cannot be read is 0. */
function read(to: number, size: number, from: number, at: number): BpfInstruction[] {
  return [move(3, from), ...readFrom3(to, size, at)];
}

/** Reads a pointer into a register. */
function readPointer(to: number, from: number, at: number): BpfInstruction[] {
  return [...read(POINTER, 8, from, at), ldx(8, to, FP, POINTER)];
}

function readFrom3(to: number, size: number, at: number): BpfInstruction[] {
  return [add(3, at), move(1, FP), add(1, to), set(2, size), callHelper(PROBE_READ_KERNEL)];
}

function emptyRecord(kind: number): BpfInstruction[] {
  const words = Array.from({ length: RECORD_WORDS / 2 }, (_, i) => RECORD_AT + i * 8);
  return [
    set(1, 0),
    ...words.map((at) => stx(8, FP, at, 1)),
    set(1, kind),
    stx(4, FP, word("kind"), 1),
  ];
}

/** Writes the record and ends. The context begins with a pointer to its meta data, and they with the file's. */
function writeRecord(context: number): BpfInstruction[] {
  return [
    ldx(8, 1, context, 0),
    ldx(8, 1, 1, 0),
    move(2, FP),
    add(2, RECORD_AT),
    set(3, RECORD_WORDS * 4),
    callHelper(SEQ_WRITE),
    ...finish(),
  ];
}

/** Ends the program unless the condition skips that. */
function endIf(unless: (count: number) => BpfInstruction): BpfInstruction[] {
  const end = finish();
  return [unless(end.length), ...end];
}

function word(field: keyof typeof RECORD): number {
  return RECORD_AT + RECORD[field] * 4;
}

function offset(members: BtfAnswers["members"], member: IteratorMember): number {
  const found = members[member];
  if (found === undefined) throw new Error(`this kernel has no ${member}`);
  return found;
}
