import { attempt, type Call } from "../../ffi/call.ts";
import type { Kernel } from "../../ffi/kernel.ts";
import { isSyscallError, type SyscallError } from "../../ffi/syscall_error.ts";
import {
  close,
  linkOpen,
  mkdirat,
  openat,
  read,
  type Statx,
  statx,
  unlinkat,
  write,
} from "../../ffi/syscalls/file.ts";
import { AT, AT_FDCWD, O, O_TMPFILE, S_IF } from "../../ffi/abi/file_flags.ts";
import { readDirectory } from "../../ffi/files.ts";

/** Where root keeps compiled filters: in memory, root's alone, and gone with the next boot, that is: kernel. */
export const FILTER_CACHE = "/run/belay-seccomp";

/** Files in it; beyond, it is emptied. A filter and its key are some 20 kB. */
const MOST_FILTERS = 64;
/** Bytes that a filter and its key may have. */
const LARGEST_FILE = 0x40000;

const OTHERS = 0o077;
const encoder = new TextEncoder();

/** What a filter was made from; all of it is in the file, and compared. */
export interface FilterKey {
  /** The profile, the kernel and the architecture, as text without line breaks. */
  readonly text: string;
}

/**
 * Filters that were compiled before, by what they were compiled from. A file is taken only when it and its directory
 * belong to root, nobody else may write to them, the library is the one that made it, and every byte of the key is
 * the same. Whatever is wrong with the cache: then there is none, and a filter is compiled.
 */
export class FilterCache implements Disposable {
  private constructor(
    private readonly kernel: Kernel,
    private readonly fd: number,
    private readonly owner: number,
  ) {}

  /**
   * Opens the cache; undefined where there is none and there can be none, and where it is not the owner's alone.
   * @param owner Whose it must be: root's, but for tests.
   */
  static open(kernel: Kernel, directory = FILTER_CACHE, owner = 0): FilterCache | undefined {
    if (Deno.uid() !== owner || Deno.env.get("BELAY_CACHE") === "off") return undefined;
    const opening = () =>
      attempt(openat(AT_FDCWD, directory, O.O_RDONLY | O.O_DIRECTORY | O.O_NOFOLLOW));
    let fd = kernel.call(opening());
    if (fd instanceof Error && fd.is("ENOENT")) {
      kernel.call(attempt(mkdirat(AT_FDCWD, directory, 0o700))); // a failure, or another's success: seen next
      fd = kernel.call(opening());
    }
    if (fd instanceof Error) return undefined;
    const cache = new FilterCache(kernel, fd, owner);
    if (isAlone(owner, kernel.call(attempt(statx(fd, "", AT.AT_EMPTY_PATH))))) return cache;
    cache[Symbol.dispose]();
    return undefined;
  }

  /** The filter that was made from this key; undefined when there is none. */
  find(key: FilterKey): Uint8Array | undefined {
    const bytes = this.#read(nameOf(key));
    const entry = bytes === undefined ? undefined : parse(bytes);
    if (entry === undefined || entry.key !== key.text) return undefined;
    const library = this.kernel.call(attempt(statx(AT_FDCWD, entry.library.path, 0)));
    if (library instanceof Error || identityOf(library) !== entry.library.identity) {
      return undefined;
    }
    return entry.program;
  }

  #read(name: string): Uint8Array | undefined {
    const fd = this.kernel.call(attempt(openat(this.fd, name, O.O_RDONLY | O.O_NOFOLLOW)));
    if (fd instanceof Error) return undefined;
    const stat = this.kernel.call(attempt(statx(fd, "", AT.AT_EMPTY_PATH)));
    const [bytes] = this.kernel.batch([
      attempt(read(fd, stat instanceof Error ? 0 : Number(stat.size))),
      close(fd),
    ]);
    return isAlone(this.owner, stat) && !(bytes instanceof Error) ? bytes : undefined;
  }

  /**
   * Keeps a filter. It appears whole or not at all: it is written without a name, and named then.
   * @param library The path of the library that made it.
   */
  keep(key: FilterKey, program: Uint8Array, library: string): void {
    const [name, stat] = [nameOf(key), this.kernel.call(attempt(statx(AT_FDCWD, library, 0)))];
    if (stat instanceof Error) return;
    const head = encoder.encode(
      `${library}\n${identityOf(stat)}\n${program.length}\n${key.text}\n`,
    );
    const bytes = new Uint8Array(head.length + program.length);
    bytes.set(head);
    bytes.set(program, head.length);
    if (bytes.length >= LARGEST_FILE) return;
    const made = this.kernel.call(attempt(openat(this.fd, ".", O_TMPFILE | O.O_WRONLY, 0o600)));
    if (made instanceof Error) return;
    if (this.kernel.call(attempt(write(made, bytes))) === bytes.length) {
      this.#makeRoom(name);
      this.kernel.call(attempt(linkOpen(made, this.fd, name))); // EEXIST: another belay has just done the same
    }
    this.kernel.call(close(made));
  }

  /** Removes what was kept under that name, for another key or another library; all, when there are too many. */
  #makeRoom(name: string): void {
    const names = namesIn(this.kernel, this.fd);
    const gone = names.length < MOST_FILTERS ? names.filter((each) => each === name) : names;
    this.kernel.batch(
      gone.map((each): Call<void | SyscallError> => attempt(unlinkat(this.fd, each))),
    );
  }

  /** Closes the directory. */
  [Symbol.dispose](): void {
    this.kernel.call(close(this.fd));
  }
}

function namesIn(kernel: Kernel, fd: number): string[] {
  try {
    return readDirectory(kernel, fd, ".").map(({ name }) => name);
  } catch (error) {
    if (isSyscallError(error)) return []; // without room nothing is kept: the name is taken
    throw error;
  }
}

/** Whether something is the owner's, and nobody else may write to it, or read it. */
function isAlone(owner: number, stat: Statx | Error): boolean {
  if (stat instanceof Error || stat.uid !== owner) return false;
  const type = stat.mode & S_IF.S_IFMT;
  return (type === S_IF.S_IFDIR || type === S_IF.S_IFREG) && (stat.mode & OTHERS) === 0;
}

/** What changes when a file is replaced or written to. */
function identityOf({ devMajor, devMinor, ino, size, mtime }: Statx): string {
  return [devMajor, devMinor, ino, size, mtime.seconds, mtime.nanoseconds].join(" ");
}

interface Entry {
  readonly library: { readonly path: string; readonly identity: string };
  readonly key: string;
  readonly program: Uint8Array;
}

/** A file's content: lines with the library's path and identity, the program's length, and the key; the program. */
function parse(bytes: Uint8Array): Entry | undefined {
  const lines: string[] = [];
  let from = 0;
  while (lines.length < 4) {
    const end = bytes.indexOf(0x0a, from);
    if (end < 0) return undefined;
    lines.push(new TextDecoder().decode(bytes.subarray(from, end)));
    from = end + 1;
  }
  const [path = "", identity = "", length = "", key = ""] = lines;
  const program = bytes.slice(from);
  return String(program.length) === length
    ? { library: { path, identity }, key, program }
    : undefined;
}

/** A name for a key: 64 bits of FNV-1a over words. Two keys of one name would only displace each other. */
function nameOf({ text }: FilterKey): string {
  const bytes = encoder.encode(text.padEnd((text.length + 3) & ~3));
  const words = new Uint32Array(bytes.buffer, 0, bytes.length >> 2);
  let [a, b] = [0x811c9dc5, text.length];
  for (const word of words) {
    a = Math.imul(a ^ word, 0x01000193);
    b = Math.imul(b ^ (a >>> 15), 0x85ebca6b);
  }
  return [a, b].map((half) => (half >>> 0).toString(16).padStart(8, "0")).join("");
}
