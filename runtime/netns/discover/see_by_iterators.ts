import type { BtfAnswers } from "../../../ffi/btf.ts";
import type { Kernel } from "../../../ffi/kernel.ts";
import { fileProgram, RECORD, RECORD_WORDS, threadProgram } from "../../../ffi/task_iterators.ts";
import {
  bpf_iter_create,
  bpf_iterator_link,
  bpf_iterator_load,
} from "../../../ffi/syscalls/bpf_iterator.ts";
import { close, read } from "../../../ffi/syscalls/file.ts";
import type { Seen, ThreadSeen } from "./seen.ts";

/** Whole records, and as many as fit into a carrier's memory (32 KiB) as it is: the kernel has no more at once. */
const READ_SIZE = 680 * RECORD_WORDS * 4;

/**
 * Sees everything in two walks of the kernel's own, some 30 system calls whatever there is to be seen.
 * @throws SyscallError of bpf(2): the kernel, or whoever rules over this process, does not allow it.
 */
export function seeByIterators(kernel: Kernel, layout: BtfAnswers): Seen {
  // In this order: whoever holds something and is not seen afterwards has ended, and holds it no more.
  const files = records(kernel, layout, "bpf_iter_task_file", fileProgram(layout));
  const threads: ThreadSeen[] = [];
  const numbers = new Map<number, number>();
  for (const piece of records(kernel, layout, "bpf_iter_task", threadProgram(layout))) {
    readThreads(piece, threads, numbers);
  }
  return { threads, files, numberOf: (pid) => numbers.get(pid), unseen: [] };
}

function records(
  kernel: Kernel,
  { functions }: BtfAnswers,
  target: string,
  program: Uint8Array,
): Uint32Array[] {
  const opened: number[] = [];
  const open = (fd: number): number => {
    opened.push(fd);
    return fd;
  };
  try {
    const loaded = open(kernel.call(bpf_iterator_load(functions[target] ?? 0, program)));
    const link = open(kernel.call(bpf_iterator_link(loaded)));
    const iterator = open(kernel.call(bpf_iter_create(link)));
    const pieces: Uint32Array[] = [];
    for (;;) {
      const bytes = kernel.call(read(iterator, READ_SIZE));
      if (bytes.length === 0) return pieces;
      pieces.push(new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2));
    }
  } finally {
    for (const fd of opened) kernel.call(close(fd));
  }
}

function readThreads(
  piece: Uint32Array,
  threads: ThreadSeen[],
  numbers: Map<number, number>,
): void {
  const bytes = new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength);
  for (let at = 0; at < piece.length; at += RECORD_WORDS) {
    const pid = piece[at + RECORD.number] ?? 0;
    const netns = piece[at + RECORD.netns] ?? 0;
    if (pid === 0 || netns === 0) continue; // it ended while it was looked at
    numbers.set(piece[at + RECORD.pid] ?? 0, pid);
    threads.push({
      ...{ pid, netns },
      tid: piece[at + RECORD.tid] ?? 0,
      owner: piece[at + RECORD.owner] ?? 0,
      mountNamespace: piece[at + RECORD.mountNamespace] ?? 0,
      comm: text(bytes, (at + RECORD.comm) * 4),
    });
  }
}

/** Up to 16 bytes that end with a NUL. */
function text(bytes: Uint8Array, from: number): string {
  let name = "";
  for (let at = from; at < from + 16; at++) {
    const byte = bytes[at] ?? 0;
    if (byte === 0) return name;
    if (byte > 126) return new TextDecoder().decode(bytes.subarray(from, bytes.indexOf(0, from)));
    name += String.fromCharCode(byte);
  }
  return name;
}
