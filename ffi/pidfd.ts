import type { Kernel } from "./kernel.ts";
import { close } from "./syscalls/file.ts";
import { type ExitStatus, pidfd_open, pidfd_send_signal, waitid } from "./syscalls/process.ts";
import { POLL, ppoll } from "./syscalls/event.ts";
import { WAIT } from "./abi/process_flags.ts";
import { isSyscallError } from "./syscall_error.ts";
import { waitReadable } from "./readiness.ts";

/**
 * A process, held so that it stays the same process whatever happens to its number. The descriptor is owned:
 * `using` closes it.
 */
export class Pidfd implements Disposable {
  #open = true;

  /**
   * @param fd From clone3(CLONE_PIDFD), pidfd_open or SCM_RIGHTS.
   * @param pid The number, a label for people and for files that clients ask for.
   */
  constructor(private readonly kernel: Kernel, readonly fd: number, readonly pid: number) {}

  /**
   * Opens a process by number. Only right for a child that nobody else reaps, or when its identity is compared
   * afterwards (`identity.ts`). @throws SyscallError ESRCH
   */
  static open(kernel: Kernel, pid: number): Pidfd {
    return new Pidfd(kernel, kernel.call(pidfd_open(pid)), pid);
  }

  /** Sends a signal. False when the process has ended already. @throws SyscallError EPERM */
  signal(signal: number): boolean {
    try {
      this.kernel.call(pidfd_send_signal(this.fd, signal));
      return true;
    } catch (error) {
      if (isSyscallError(error, "ESRCH")) return false; // it ended and was reaped: nobody is there to be told
      throw error;
    }
  }

  /**
   * Whether the process still runs: a zombie does not (poll says POLLIN for it, kill(pid, 0) would call it alive).
   */
  alive(): boolean {
    return !this.waitSync(0);
  }

  /** Blocks this thread until the process has ended, or for `timeoutMs`; whether it has. */
  waitSync(timeoutMs?: number): boolean {
    const [events = 0] = this.kernel.call(ppoll([{ fd: this.fd, events: POLL.POLLIN }], timeoutMs));
    return events !== 0;
  }

  /** Resolves when the process has ended; the event loop goes on meanwhile. Also for one that ended before. */
  async wait(): Promise<void> {
    if (!this.alive()) return;
    await waitReadable(this.kernel, this.fd);
  }

  /**
   * Reaps the process, which must be a child of this one and have ended, or blocks until it has.
   * @throws SyscallError ECHILD for somebody else's child.
   */
  reap(): ExitStatus {
    const status = this.kernel.call(waitid(this.fd, WAIT.WEXITED));
    if (status === undefined) throw new Error(`waitid gave no status for process ${this.pid}`);
    return status;
  }

  /** Whether the descriptor was given back. */
  get closed(): boolean {
    return !this.#open;
  }

  /** Closes the descriptor; twice is harmless. */
  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    this.kernel.call(close(this.fd));
  }
}
