import { attempt } from "../../../ffi/call.ts";
import type { Kernel } from "../../../ffi/kernel.ts";
import { readDirectory, readFile } from "../../../ffi/files.ts";
import { AT, AT_FDCWD } from "../../../ffi/abi/file_flags.ts";
import { RECORD, RECORD_WORDS, SEEN } from "../../../ffi/task_iterators.ts";
import { isSyscallError } from "../../../ffi/syscall_error.ts";
import { close, readlinkat, statx } from "../../../ffi/syscalls/file.ts";
import { pidfd_getfd, pidfd_open, pidfd_send_signal } from "../../../ffi/syscalls/process.ts";
import {
  compareFiles,
  pidfd_open_thread,
  SO,
  socketNamespace,
  socketOption,
} from "../../../ffi/syscalls/holder.ts";
import type { Seen, ThreadSeen } from "./seen.ts";

const PF_KTHREAD = 0x00200000;
/** What a process or thread says that has just ended. */
const ENDED = ["ENOENT", "ESRCH"] as const;
/** What it says to somebody who may not look. */
const FORBIDDEN = ["EACCES", "EPERM"] as const;

/**
 * Sees everything through /proc, thread by thread and descriptor by descriptor: for kernels without iterators, and for
 * whoever may not use them. A socket's namespace is asked of the socket itself, by a copy of its descriptor, and its
 * process is asked afterwards whether it still lives: then it was its descriptor.
 */
export function seeByProc(kernel: Kernel): Seen {
  return new Look(kernel).everything();
}

class Look {
  readonly #threads: ThreadSeen[] = [];
  readonly #files: Uint32Array[] = [];
  readonly #closed = new Set<number>();
  #sockets = 0;
  /** Which namespace a cookie stands for. */
  readonly #cookies = new Map<bigint, number>();

  constructor(private readonly kernel: Kernel) {}

  everything(): Seen {
    for (const { name } of readDirectory(this.kernel, AT_FDCWD, "/proc")) {
      if (!/^\d+$/.test(name)) continue;
      try {
        this.#process(Number(name));
      } catch (error) {
        if (isSyscallError(error, ...FORBIDDEN)) this.#closed.add(Number(name));
        else if (!isSyscallError(error, ...ENDED)) throw error;
      }
    }
    const unseen: string[] = [];
    if (this.#closed.size > 0) {
      unseen.push(`${this.#closed.size} processes whose namespaces or descriptors may not be read`);
    }
    if (this.#sockets > 0) {
      unseen.push(`${this.#sockets} sockets that may not be asked for their namespace`);
    }
    return { threads: this.#threads, files: this.#files, numberOf: (pid) => pid, unseen };
  }

  #process(pid: number): void {
    const stat = readFile(this.kernel, AT_FDCWD, `/proc/${pid}/stat`);
    const comm = stat.slice(stat.indexOf("(") + 1, stat.lastIndexOf(")"));
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if ((Number(fields[6]) & PF_KTHREAD) !== 0) return; // they live in the first namespace, which never ends
    const first = this.#thread(pid, pid, comm);
    if (first !== undefined) this.#threads.push(first);
    this.#descriptors(pid, pid);
    for (const { name } of readDirectory(this.kernel, AT_FDCWD, `/proc/${pid}/task`)) {
      const tid = Number(name);
      if (tid !== pid) this.#otherThread(pid, tid, first);
    }
  }

  #otherThread(pid: number, tid: number, first: ThreadSeen | undefined): void {
    const seen = this.#thread(pid, tid, undefined);
    if (
      seen !== undefined &&
      (seen.netns !== first?.netns || seen.mountNamespace !== first.mountNamespace)
    ) {
      const comm = this.#orGone(() =>
        readFile(this.kernel, AT_FDCWD, `/proc/${pid}/task/${tid}/comm`)
      );
      if (comm !== undefined) this.#threads.push({ ...seen, comm: comm.trimEnd() });
    }
    const same = this.kernel.call(attempt(compareFiles(pid, tid)));
    if (same === 0) return;
    // Whoever cannot compare looks twice at the same: the second look finds nothing new, and costs time.
    this.#descriptors(pid, tid);
  }

  #thread(pid: number, tid: number, comm = ""): ThreadSeen | undefined {
    const at = `/proc/${pid}/task/${tid}/ns`;
    const netns = this.#orGone(() => this.#inode(`${at}/net`));
    if (netns === undefined) return undefined;
    const mountNamespace = this.#orGone(() => this.#inode(`${at}/mnt`)) ?? 0;
    return { pid, tid, netns, owner: 0, mountNamespace, comm };
  }

  #inode(path: string): number {
    return Number(this.kernel.call(statx(AT_FDCWD, path, 0)).ino);
  }

  #descriptors(pid: number, tid: number): void {
    const directory = `/proc/${pid}/task/${tid}/fd`;
    const entries = this.#orGone(() => readDirectory(this.kernel, AT_FDCWD, directory)) ?? [];
    for (const { name } of entries) {
      const link = this.#orGone(() =>
        this.kernel.call(readlinkat(AT_FDCWD, `${directory}/${name}`))
      );
      if (link === undefined) continue;
      const match = /^(socket|net):\[(\d+)\]$/.exec(link);
      if (match === null) {
        if (link.endsWith("/tun")) this.#copied(pid, tid, Number(name), SEEN.tun, 0);
        continue;
      }
      const inode = Number(match[2]);
      if (match[1] === "socket") this.#copied(pid, tid, Number(name), SEEN.socket, inode);
      else this.#record({ kind: SEEN.nsfs, pid, tid, fd: Number(name), netns: inode, inode });
    }
  }

  /** Takes a copy of a descriptor, asks it, and asks whether its process was alive all the time. */
  #copied(pid: number, tid: number, fd: number, kind: number, inode: number): void {
    const opened: number[] = [];
    const open = (fd: number): number => {
      opened.push(fd);
      return fd;
    };
    try {
      const holder = tid === pid ? pidfd_open(pid) : pidfd_open_thread(tid);
      const pidfd = open(this.kernel.call(holder));
      const copy = open(this.kernel.call(pidfd_getfd(pidfd, fd)));
      const about = kind === SEEN.socket ? this.#socket(copy) : {};
      const netns = this.#namespace(copy, kind);
      this.kernel.call(pidfd_send_signal(pidfd, 0));
      if (netns !== undefined) this.#record({ kind, pid, tid, fd, netns, inode, ...about });
    } catch (error) {
      // EINVAL: a thread with a table of its own, which a kernel before 6.9 gives nobody.
      if (isSyscallError(error, ...FORBIDDEN, "EINVAL")) this.#sockets++;
      // The descriptor was closed (EBADF), or reused for something else (ENOTSOCK, ENOTTY).
      else if (!isSyscallError(error, ...ENDED, "EBADF", "ENOTSOCK", "ENOTTY")) throw error;
    } finally {
      for (const fd of opened) this.kernel.call(close(fd));
    }
  }

  #socket(copy: number): { socketType: number; protocol: number } {
    const [family, type, protocol] = this.kernel.batch([
      socketOption(copy, SO.SO_DOMAIN),
      socketOption(copy, SO.SO_TYPE),
      socketOption(copy, SO.SO_PROTOCOL),
    ]);
    return { socketType: Number(family) | Number(type) << 16, protocol: Number(protocol) };
  }

  /** A socket's cookie is cheaper than a descriptor of its namespace, which is asked for once for each cookie. */
  #namespace(copy: number, kind: number): number | undefined {
    const cookie = kind === SEEN.socket
      ? this.kernel.call(attempt(socketOption(copy, SO.SO_NETNS_COOKIE)))
      : undefined;
    const known = typeof cookie === "bigint" ? this.#cookies.get(cookie) : undefined;
    if (known !== undefined) return known;
    const namespace = this.kernel.call(socketNamespace(copy));
    try {
      const inode = Number(this.kernel.call(statx(namespace, "", AT.AT_EMPTY_PATH)).ino);
      if (typeof cookie === "bigint") this.#cookies.set(cookie, inode);
      return inode;
    } finally {
      this.kernel.call(close(namespace));
    }
  }

  #record(fields: Partial<Record<keyof typeof RECORD, number>>): void {
    const record = new Uint32Array(RECORD_WORDS);
    for (const [field, value] of Object.entries(fields)) {
      record[RECORD[field as keyof typeof RECORD]] = value;
    }
    this.#files.push(record);
  }

  #orGone<T>(look: () => T): T | undefined {
    try {
      return look();
    } catch (error) {
      if (isSyscallError(error, ...ENDED)) return undefined;
      throw error;
    }
  }
}
