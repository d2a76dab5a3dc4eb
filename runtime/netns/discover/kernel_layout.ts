import { type BtfAnswers, BtfError, searchBtf } from "../../../ffi/btf.ts";
import { attempt } from "../../../ffi/call.ts";
import type { Kernel } from "../../../ffi/kernel.ts";
import { ITERATOR_MEMBERS, ITERATORS } from "../../../ffi/task_iterators.ts";
import { AT, AT_FDCWD, O } from "../../../ffi/abi/file_flags.ts";
import { isSyscallError } from "../../../ffi/syscall_error.ts";
import { close, openat, read, renameat2, statx, unlinkat } from "../../../ffi/syscalls/file.ts";
import { readFile, writeWhole } from "../../../ffi/files.ts";

const BTF_FILE = "/sys/kernel/btf/vmlinux";
/** Holds the kernel's build id, which no other kernel has. */
const NOTES_FILE = "/sys/kernel/notes";
/** The launcher's cache (docs/decisions/0008): root's alone. */
const CACHE = "/var/cache/belay";
const CACHED = "kernel-layout.json";
/** As much as sysfs gives at once. */
const READ_SIZE = 0x1000;

/** What is kept for the next time: the answers, and of which kernel. */
interface Kept {
  readonly notes: string;
  /** What was asked: another belay may ask for more. */
  readonly asked: string;
  readonly answers: BtfAnswers;
}

/**
 * What the iterators must know of this kernel. Reading it from 5 MB of BTF takes 40 ms; root keeps it, in a directory
 * that nobody else can write, together with the kernel's build id.
 * @returns undefined where the kernel does not describe itself, or lacks something.
 */
export function kernelLayout(kernel: Kernel, useCache: boolean): BtfAnswers | undefined {
  const notes = useCache ? notesOf(kernel) : undefined;
  const directory = notes === undefined ? undefined : openCache(kernel);
  try {
    if (notes !== undefined && directory !== undefined) {
      const kept = recall(kernel, directory, notes);
      if (kept !== undefined) return kept;
    }
    const answers = ask(kernel);
    if (answers !== undefined && notes !== undefined && directory !== undefined) {
      keep(kernel, directory, { notes, asked: ASKED(), answers });
    }
    return answers;
  } finally {
    if (directory !== undefined) kernel.call(close(directory));
  }
}

const ASKED = () => [...ITERATORS, ...ITERATOR_MEMBERS].join(" ");

function notesOf(kernel: Kernel): string | undefined {
  const fd = kernel.call(attempt(openat(AT_FDCWD, NOTES_FILE, O.O_RDONLY)));
  if (fd instanceof Error) return undefined;
  try {
    const bytes = kernel.call(attempt(read(fd, 4096)));
    if (bytes instanceof Error || bytes.length === 0) return undefined;
    return new TextDecoder("latin1").decode(bytes);
  } finally {
    kernel.call(close(fd));
  }
}

/** The cache's descriptor, if it is there and nobody else's. */
function openCache(kernel: Kernel): number | undefined {
  const flags = O.O_RDONLY | O.O_DIRECTORY | O.O_NOFOLLOW;
  const fd = kernel.call(attempt(openat(AT_FDCWD, CACHE, flags)));
  if (fd instanceof Error) return undefined;
  const status = kernel.call(attempt(statx(fd, "", AT.AT_EMPTY_PATH)));
  if (!(status instanceof Error) && status.uid === 0 && (status.mode & 0o022) === 0) return fd;
  kernel.call(close(fd));
  return undefined;
}

function recall(kernel: Kernel, directory: number, notes: string): BtfAnswers | undefined {
  try {
    const kept: Kept = JSON.parse(readFile(kernel, directory, CACHED));
    return kept.notes === notes && kept.asked === ASKED() ? kept.answers : undefined;
  } catch (error) {
    // Not there yet, not readable, or cut short by a full disk: then it is made again.
    if (error instanceof SyntaxError || isSyscallError(error)) return undefined;
    throw error;
  }
}

function keep(kernel: Kernel, directory: number, kept: Kept): void {
  const temporary = `.${CACHED}.${Deno.pid}`;
  try {
    const flags = O.O_WRONLY | O.O_CREAT | O.O_EXCL | O.O_NOFOLLOW;
    writeWhole(kernel, openat(directory, temporary, flags, 0o600), JSON.stringify(kept));
    kernel.call(renameat2(directory, temporary, directory, CACHED));
  } catch (error) {
    // A cache that cannot be written (a full or read-only disk) is no reason not to answer: 40 ms more, next time.
    if (!isSyscallError(error)) throw error;
    kernel.call(attempt(unlinkat(directory, temporary)));
  }
}

function ask(kernel: Kernel): BtfAnswers | undefined {
  const bytes = wholeFile(kernel, BTF_FILE);
  if (bytes === undefined) return undefined;
  let answers: BtfAnswers;
  try {
    answers = searchBtf(bytes, ITERATORS, ITERATOR_MEMBERS);
  } catch (error) {
    if (error instanceof BtfError) return undefined; // a newer kernel's: /proc is there as well
    throw error;
  }
  const complete = ITERATORS.every((name) => name in answers.functions) &&
    ITERATOR_MEMBERS.every((name) => name in answers.members);
  return complete ? answers : undefined;
}

function wholeFile(kernel: Kernel, path: string): Uint8Array | undefined {
  const fd = kernel.call(attempt(openat(AT_FDCWD, path, O.O_RDONLY)));
  if (fd instanceof Error) return undefined; // no BTF in this kernel, or no /sys here
  try {
    const chunks: Uint8Array[] = [];
    for (;;) {
      const bytes = kernel.call(attempt(read(fd, READ_SIZE)));
      if (bytes instanceof Error) return undefined;
      if (bytes.length === 0) break;
      chunks.push(bytes);
    }
    const whole = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const chunk of chunks) {
      whole.set(chunk, at);
      at += chunk.length;
    }
    return whole;
  } finally {
    kernel.call(close(fd));
  }
}
