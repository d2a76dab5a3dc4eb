import { attempt, tolerate } from "../../../ffi/call.ts";
import type { Kernel } from "../../../ffi/kernel.ts";
import type { Carriers, Remote } from "../../../ffi/remote.ts";
import { CLONE, RLIMIT } from "../../../ffi/abi/process_flags.ts";
import { isSyscallError } from "../../../ffi/syscall_error.ts";
import { NetlinkSocket } from "../../../ffi/netlink/socket.ts";
import { getNsid, parseNsid } from "../../../ffi/netlink/nsid.ts";
import { close } from "../../../ffi/syscalls/file.ts";
import { setns } from "../../../ffi/syscalls/namespace.ts";
import { getrlimit, prlimit64 } from "../../../ffi/syscalls/process.ts";
import { CommandError } from "../../cli/command_error.ts";
import type { Netns } from "../discover/discover.ts";
import { openNetns } from "../discover/open_netns.ts";

/** Descriptors beside those of namespaces: standard ones, the conversation, a socket, what is passed at a time. */
const SPARE = 16;

/**
 * A stub that goes from namespace to namespace: it holds a descriptor of each that could be opened, so what is asked
 * about one is about that one to the end.
 */
export class Visits implements Disposable {
  readonly #there = new Map<number, number>();
  readonly #stub: Remote;
  /** How many namespaces could not be entered. */
  closed = 0;

  constructor(carriers: Carriers, namespaces: readonly Netns[], own: number) {
    this.#stub = carriers.spawn("doctor");
    try {
      makeRoom(this.#stub, namespaces.length);
      for (const netns of namespaces) this.#open(carriers.thread, netns, own);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  #open(thread: Kernel, netns: Netns, own: number): void {
    const opened = openNetns(thread, netns, netns.inode === own);
    if (opened === "gone") return;
    if ("error" in opened) {
      this.closed++;
      return;
    }
    try {
      const there = this.#give(opened.fd);
      const entered = this.#stub.call(attempt(setns(there, CLONE.CLONE_NEWNET)));
      if (!(entered instanceof Error)) this.#there.set(netns.inode, there);
      // It can be held, but not entered without CAP_SYS_ADMIN over it; as it is for whoever is not root.
      else if (!entered.is("EPERM")) throw entered;
      else {
        this.closed++;
        this.#stub.call(close(there));
      }
    } finally {
      thread.call(close(opened.fd));
    }
  }

  #give(fd: number): number {
    try {
      return this.#stub.give([fd])[0] ?? -1;
    } catch (cause) {
      if (!isSyscallError(cause, "EMFILE")) throw cause;
      const problem = "there are more network namespaces than belay may have open (ulimit -n)";
      throw new CommandError(problem, { cause });
    }
  }

  /** The namespaces that can be visited. */
  inodes(): number[] {
    return [...this.#there.keys()];
  }

  /** Does something inside of a namespace. @throws SyscallError of setns(2), and what `work` throws. */
  inside<T>(inode: number, work: (socket: NetlinkSocket) => T): T {
    this.#stub.call(setns(this.#there.get(inode) ?? -1, CLONE.CLONE_NEWNET));
    using socket = NetlinkSocket.open(this.#stub);
    return work(socket);
  }

  /** The first namespace that the one of a socket knows by a number; undefined when it is none that was found. */
  byNsid(socket: NetlinkSocket, nsid: number): number | undefined {
    for (const [inode, there] of this.#there) {
      if (parseNsid(socket.ask(getNsid(there))) === nsid) return inode;
    }
    return undefined;
  }

  /** Lets the stub go. */
  [Symbol.dispose](): void {
    this.#stub[Symbol.dispose]();
    this.#stub.pidfd.reap();
    this.#stub.pidfd[Symbol.dispose]();
  }
}

/** Lets the stub have that many descriptors, and some; its own limit alone is raised. */
function makeRoom(stub: Remote, count: number): void {
  const needed = BigInt(count + SPARE);
  const { soft, hard } = stub.call(getrlimit(RLIMIT.RLIMIT_NOFILE));
  if (soft >= needed) return;
  const allowed = { soft: needed < hard ? needed : hard, hard };
  stub.call(prlimit64(RLIMIT.RLIMIT_NOFILE, allowed));
  if (hard >= needed) return;
  // If they are too many for who may not raise it, that is told when there is no room for one.
  const more = { soft: needed, hard: needed };
  stub.call(tolerate(prlimit64(RLIMIT.RLIMIT_NOFILE, more), ["EPERM"], "without CAP_SYS_RESOURCE"));
}
