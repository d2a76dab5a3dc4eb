import type { Kernel } from "../../ffi/kernel.ts";
import {
  close,
  flock,
  mkdirat,
  openat,
  read,
  renameat2,
  statx,
  unlinkat,
} from "../../ffi/syscalls/file.ts";
import { bind, listen, SOCK, socket } from "../../ffi/syscalls/socket.ts";
import { sleep } from "../../ffi/syscalls/event.ts";
import { attempt, tolerate } from "../../ffi/call.ts";
import { AT, AT_FDCWD, LOCK, O } from "../../ffi/abi/file_flags.ts";
import { isSyscallError } from "../../ffi/syscall_error.ts";
import { readDirectory, readFile, writeWhole } from "../../ffi/files.ts";
import { CommandError } from "../cli/command_error.ts";
import { Journal, JOURNAL_FILE, type JournalEntry, parseJournal } from "./journal.ts";
import { parseStateFile, STATE_FILE, type StateFile } from "./state_file.ts";

/** The names in a state directory beside the state file and the journal. */
export const CONTROL_SOCKET = "control.sock";
/** Where the root is attached in a mount namespace that belongs to somebody else; see `foreign_mount.ts`. */
export const FOREIGN_ROOT = "root";
/** Held with flock(2) by the stub that waits to become the container's process; see `status.ts`. */
export const EXEC_LOCK = "exec.lock";
/** The compiled system call filter; see `runtime/seccomp/`. */
export const FILTER_FILE = "seccomp";

/** How long a lock may outlive the belay that took it, with a margin for a busy machine. */
const LOCK_PATIENCE_MS = 100;
const LOCK_POLL_MS = 5;

/** Bytes: BPF_MAXINSNS instructions of 8. */
const LARGEST_FILTER = 0x8000;

const TEMPORARY = ".state.json";
/** A directory, in getdents64(2). */
const DT_DIR = 4;
const O_DIR = O.O_RDONLY | O.O_DIRECTORY;

/**
 * `ROOT/ID/`: everything that is known of one container. The lock is flock(2) on the directory itself: there is no
 * moment in which the directory exists and its lock does not, and it ends with the process that holds it.
 */
export class StateDir implements Disposable {
  readonly journal: Journal;
  #open = true;
  #filter: Uint8Array | undefined;

  private constructor(
    private readonly kernel: Kernel,
    /** The state root, absolute. */
    readonly root: string,
    readonly id: string,
    /** The directory's descriptor. */
    readonly fd: number,
  ) {
    this.journal = new Journal(kernel, fd);
  }

  /** The directory's path. */
  get path(): string {
    return `${this.root}/${this.id}`;
  }

  /**
   * Makes a container's directory, locked. Exactly one of several callers gets it.
   * @throws CommandError when there is one of that id.
   */
  static create(kernel: Kernel, root: string, id: string): StateDir {
    makeRoot(kernel, root);
    try {
      kernel.call(mkdirat(AT_FDCWD, `${root}/${id}`, 0o700));
    } catch (error) {
      if (!isSyscallError(error, "EEXIST")) throw notOurs(root, error);
      throw new CommandError(`container with given ID already exists: ${id}`);
    }
    let dir: StateDir | undefined;
    try {
      dir = StateDir.open(kernel, root, id);
      if (dir === undefined) {
        throw new CommandError(`container ${id} was deleted while it was created`);
      }
      dir.lock();
      return dir;
    } catch (error) {
      dir?.[Symbol.dispose]();
      // A CommandError: somebody deletes it at this moment, and it is theirs to finish. Else it goes as it came, empty.
      if (!(error instanceof CommandError)) {
        kernel.call(attempt(unlinkat(AT_FDCWD, `${root}/${id}`, AT.AT_REMOVEDIR)));
      }
      throw error;
    }
  }

  /** Opens a container's directory; undefined when there is none. */
  static open(kernel: Kernel, root: string, id: string): StateDir | undefined {
    try {
      return new StateDir(kernel, root, id, kernel.call(openat(AT_FDCWD, `${root}/${id}`, O_DIR)));
    } catch (error) {
      if (isSyscallError(error, "ENOENT")) return undefined;
      throw notOurs(root, error);
    }
  }

  /** Opens a container's directory. @throws CommandError in runc's words, when there is none. */
  static expect(kernel: Kernel, root: string, id: string): StateDir {
    const dir = StateDir.open(kernel, root, id);
    if (dir === undefined) throw new CommandError("container does not exist");
    return dir;
  }

  /** The ids below a state root; none where the root does not exist. */
  static list(kernel: Kernel, root: string): string[] {
    try {
      const entries = readDirectory(kernel, AT_FDCWD, root);
      return entries.filter(({ type }) => type === DT_DIR).map(({ name }) => name).sort();
    } catch (error) {
      if (isSyscallError(error, "ENOENT")) return [];
      throw notOurs(root, error);
    }
  }

  /**
   * Takes the directory's lock, for as long as this object lives.
   * @throws CommandError when another belay has it, or when the directory was deleted meanwhile.
   */
  lock(): void {
    if (!this.#tryLock()) {
      throw new CommandError(
        `container ${this.id} is being worked on by another belay (create, start or delete); try again when it is done`,
      );
    }
    // The lock may have come with the directory's deletion by the one who had it before.
    if (!this.#stillThere()) throw new CommandError("container does not exist");
  }

  /**
   * Whether the lock could be taken. A belay that was killed while it started a stub leaves its lock with the stub for
   * the moment until the stub's execve closes it (posix_spawn(3) shares descriptors until then): that is waited out.
   */
  #tryLock(): boolean {
    for (let waited = 0;; waited += LOCK_POLL_MS) {
      const refused = this.kernel.call(attempt(flock(this.fd, LOCK.LOCK_EX | LOCK.LOCK_NB)));
      if (!(refused instanceof Error)) return true;
      if (!refused.is("EAGAIN")) throw refused;
      if (waited >= LOCK_PATIENCE_MS) return false;
      this.kernel.call(sleep(LOCK_POLL_MS));
    }
  }

  /**
   * Takes the lock, waiting for whoever has it. False when the container was deleted by then.
   */
  lockOrGone(): boolean {
    this.kernel.call(flock(this.fd, LOCK.LOCK_EX));
    return this.#stillThere();
  }

  #stillThere(): boolean {
    const [mine, named] = this.kernel.batch([
      statx(this.fd, "", AT.AT_EMPTY_PATH),
      attempt(statx(AT_FDCWD, this.path, AT.AT_SYMLINK_NOFOLLOW)),
    ]);
    if (!(named instanceof Error)) return named.ino === mine.ino;
    if (named.is("ENOENT")) return false;
    throw named;
  }

  /** Gives the lock up before the object ends. */
  unlock(): void {
    this.kernel.call(flock(this.fd, LOCK.LOCK_UN));
  }

  /** Reads state.json; undefined when the container's creation was ended before it was written. */
  read(): StateFile | undefined {
    const text = this.#read(STATE_FILE);
    return text === undefined ? undefined : parseStateFile(text);
  }

  /** What was begun for the container, in order. */
  entries(): JournalEntry[] {
    return parseJournal(this.#read(JOURNAL_FILE) ?? "");
  }

  #read(name: string): string | undefined {
    try {
      return readFile(this.kernel, this.fd, name);
    } catch (error) {
      if (isSyscallError(error, "ENOENT")) return undefined;
      throw error;
    }
  }

  /**
   * Writes state.json so that a reader sees the whole of it or the one before. No fsync: see `Journal.record`; and
   * a file that a loss of power left empty is read as "creating", which `delete` finishes.
   */
  write(state: StateFile): void {
    const text = JSON.stringify(state) + "\n";
    const opened = openat(this.fd, TEMPORARY, O.O_WRONLY | O.O_CREAT | O.O_TRUNC, 0o600);
    writeWhole(this.kernel, opened, text);
    this.kernel.call(renameat2(this.fd, TEMPORARY, this.fd, STATE_FILE));
  }

  /** Keeps the container's system call filter, for `start` and `exec`. */
  writeFilter(program: Uint8Array): void {
    this.#filter = program;
    const opened = openat(this.fd, FILTER_FILE, O.O_WRONLY | O.O_CREAT | O.O_EXCL, 0o600);
    writeWhole(this.kernel, opened, program);
  }

  /** The container's system call filter. */
  readFilter(): Uint8Array {
    if (this.#filter !== undefined) return this.#filter; // `run` has just written it
    const opened = openat(this.fd, FILTER_FILE, O.O_RDONLY);
    const [, bytes] = this.kernel.batch([opened, read(opened, LARGEST_FILTER), close(opened)]);
    return bytes;
  }

  /** A socket that listens at `control.sock`; its descriptor. The path goes through the directory's descriptor: it may be long. */
  listen(): number {
    const { kernel } = this;
    const fd = kernel.call(socket(SOCK.SOCK_SEQPACKET));
    try {
      kernel.batch([bind(fd, this.controlPath), listen(fd, 1)]);
      return fd;
    } catch (error) {
      kernel.call(close(fd));
      throw error;
    }
  }

  /** The path of `control.sock`, short enough for connect(2). */
  get controlPath(): string {
    return `/proc/self/fd/${this.fd}/${CONTROL_SOCKET}`;
  }

  /** Opens the exec lock and takes it; the descriptor, to be handed to the stub (`status.ts`). */
  takeExecLock(): number {
    const opened = openat(this.fd, EXEC_LOCK, O.O_RDWR | O.O_CREAT, 0o600);
    const fd = this.kernel.call(opened);
    try {
      this.kernel.call(flock(fd, LOCK.LOCK_EX | LOCK.LOCK_NB));
      return fd;
    } catch (error) {
      this.kernel.call(close(fd));
      throw error;
    }
  }

  /**
   * Waits until the execve that has just succeeded has closed the stub's lock, too: the kernel closes descriptors one
   * after the other, and the conversation's may come before. Then everybody sees the container as running.
   */
  awaitExec(): void {
    const fd = this.kernel.call(openat(this.fd, EXEC_LOCK, O.O_RDWR));
    try {
      this.kernel.call(flock(fd, LOCK.LOCK_SH));
    } finally {
      this.kernel.call(close(fd));
    }
  }

  /** Whether the stub still holds the exec lock, that is: has not become the container's process yet. */
  execLockHeld(): boolean {
    const fd = this.kernel.call(attempt(openat(this.fd, EXEC_LOCK, O.O_RDWR)));
    if (fd instanceof Error) {
      if (fd.is("ENOENT")) return false;
      throw fd;
    }
    // Shared: two who ask at the same time do not take each other for the stub.
    const [locked] = this.kernel.batch([
      attempt(flock(fd, LOCK.LOCK_SH | LOCK.LOCK_NB)),
      close(fd),
    ]);
    if (!(locked instanceof Error)) return false;
    if (locked.is("EAGAIN")) return true;
    throw locked;
  }

  /** The directory that a container's root is attached to in somebody else's mount namespace. */
  get foreignRoot(): string {
    return `${this.path}/${FOREIGN_ROOT}`;
  }

  /** Removes the directory and what is in it, the directory itself last. What is gone already is fine. */
  remove(): void {
    const gone = "removed before, by a delete that was ended half-way";
    for (const { name } of readDirectory(this.kernel, this.fd, ".")) {
      this.kernel.call(tolerate(unlinkat(this.fd, name), ["ENOENT"], gone));
    }
    this.kernel.call(
      tolerate(unlinkat(AT_FDCWD, this.path, AT.AT_REMOVEDIR), ["ENOENT"], gone),
    );
  }

  /**
   * Gives up the lock and closes the directory. Twice is harmless. Closing alone would not do: posix_spawn(3) returns a
   * moment before the child's execve has closed its copy, which holds the lock as well.
   */
  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    this.kernel.batch([attempt(flock(this.fd, LOCK.LOCK_UN)), close(this.fd)]);
  }
}

/** Makes the state root and what is missing above it. */
function makeRoot(kernel: Kernel, root: string): void {
  try {
    kernel.call(mkdirat(AT_FDCWD, root, 0o700));
  } catch (error) {
    if (isSyscallError(error, "EEXIST")) return;
    if (!isSyscallError(error, "ENOENT")) throw notOurs(root, error);
    makeRoot(kernel, root.slice(0, root.lastIndexOf("/")));
    makeRoot(kernel, root);
  }
}

/** What to do about a state root that is another user's. */
function notOurs(root: string, cause: unknown): unknown {
  if (!isSyscallError(cause, "EACCES")) return cause;
  const message = `the state root ${root} is not this user's: set XDG_RUNTIME_DIR, or give --root`;
  return new CommandError(message, { cause });
}
