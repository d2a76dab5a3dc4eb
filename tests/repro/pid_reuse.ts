// A world that is against whoever trusts process numbers: children are killed and collected by others, and their numbers
// go to strangers at once.
import { readFile, writeFile } from "../../ffi/files.ts";
import { Host } from "../../ffi/host.ts";
import { unobserved } from "../../ffi/observer.ts";
import type { Pidfd } from "../../ffi/pidfd.ts";
import { openNamespace } from "../../ffi/process_namespaces.ts";
import type { Remote } from "../../ffi/remote.ts";
import { AT, AT_FDCWD } from "../../ffi/abi/file_flags.ts";
import { CLONE } from "../../ffi/abi/process_flags.ts";
import { SIGNAL } from "../../ffi/abi/signals.ts";
import { close, statx } from "../../ffi/syscalls/file.ts";
import { getpid } from "../../ffi/syscalls/process.ts";
import { StubGone } from "../../ffi/stub.ts";

const LAST_PID = "/proc/sys/kernel/ns_last_pid";
/** Another thread of this process may take the number that was meant for the stranger. */
const ATTEMPTS = 20;
const PATIENCE_MS = 5000;

/** Somebody who has got the number of a child that is gone, in a user namespace that nobody has mapped. */
export interface Stranger {
  readonly stub: Remote;
  /** Its namespace's inode. */
  readonly userns: bigint;
}

/** What was done to a stranger. */
export type Harm = "mapped" | "signalled" | "handed out";

/** Makes strangers out of children. */
export class PidReuse implements Disposable {
  readonly #thread = new Host("/tmp").thread;
  readonly #stub = new Host("/tmp").spawn("stranger");

  /** Kills a child, waits until the reaper has it, and gives its number to a stranger. */
  strike(child: Pidfd): Stranger {
    return unobserved(() => {
      child.signal(SIGNAL.SIGKILL);
      this.#collected(child);
      for (let i = 0; i < ATTEMPTS; i++) {
        writeFile(this.#thread, AT_FDCWD, LAST_PID, String(child.pid - 1));
        const flags = CLONE.CLONE_NEWUSER | CLONE.CLONE_PARENT;
        const stub = this.#stub.clone("stranger", { flags });
        if (stub.pidfd.pid === child.pid) return { stub, userns: this.usernsOf(stub.pidfd) };
        this.end(stub);
      }
      throw new Error(`number ${child.pid} could not be given to a stranger`);
    });
  }

  /** The inode of a process's user namespace. */
  usernsOf(pidfd: Pidfd): bigint {
    const fd = openNamespace(this.#thread, pidfd, "user");
    try {
      return this.inodeOf(fd);
    } finally {
      this.#thread.call(close(fd));
    }
  }

  /** The inode behind a descriptor. */
  inodeOf(fd: number): bigint {
    return this.#thread.call(statx(fd, "", AT.AT_EMPTY_PATH)).ino;
  }

  /** Whether somebody has written a living stranger's map. */
  isMapped({ stub }: Pick<Stranger, "stub">): boolean {
    return readFile(this.#thread, AT_FDCWD, `/proc/${stub.pidfd.pid}/uid_map`) !== "";
  }

  /** What became of a stranger while somebody else's child was worked on; then it is let go. */
  harmTo({ stub, userns }: Stranger, handedOut: number | undefined): Harm[] {
    const harm: Harm[] = [];
    try {
      // Who answers has not been sent a SIGKILL before it was asked.
      stub.call(getpid());
      if (this.isMapped({ stub })) harm.push("mapped");
    } catch (error) {
      if (!(error instanceof StubGone)) throw error;
      harm.push("signalled");
    }
    if (handedOut !== undefined && this.inodeOf(handedOut) === userns) harm.push("handed out");
    this.end(stub);
    return harm;
  }

  /** Ends a stub of this world. */
  end(stub: Remote): void {
    stub[Symbol.dispose]();
    const { pidfd } = stub;
    pidfd.signal(SIGNAL.SIGKILL);
    this.#collected(pidfd);
    pidfd[Symbol.dispose]();
  }

  /** Waits until the reaper has collected it: from then on its number is free. */
  #collected(pidfd: Pidfd): void {
    const deadline = Date.now() + PATIENCE_MS;
    while (pidfd.signal(0)) {
      if (Date.now() > deadline) throw new Error(`nobody collects process ${pidfd.pid}`);
    }
  }

  [Symbol.dispose](): void {
    this.end(this.#stub);
  }
}
