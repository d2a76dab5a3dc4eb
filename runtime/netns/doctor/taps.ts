import type { Kernel } from "../../../ffi/kernel.ts";
import { AT } from "../../../ffi/abi/file_flags.ts";
import { isSyscallError } from "../../../ffi/syscall_error.ts";
import { close, statx } from "../../../ffi/syscalls/file.ts";
import { pidfd_getfd } from "../../../ffi/syscalls/process.ts";
import { tunDeviceNamespace } from "../../../ffi/syscalls/holder.ts";
import { tunGetIff } from "../../../ffi/syscalls/tun.ts";
import type { Netns } from "../discover/discover.ts";
import { holderOf } from "../discover/open_netns.ts";

/** The tun and TAP devices that processes have descriptors of. */
export class Taps {
  readonly #attached = new Set<string>();
  /** How many descriptors could not be asked: any device may be behind them. */
  unknown = 0;

  constructor(private readonly kernel: Kernel, namespaces: Iterable<Netns>) {
    for (const { descriptors } of namespaces) {
      for (const { kind, pid, tid, fd } of descriptors) if (kind === "tun") this.#ask(pid, tid, fd);
    }
  }

  /** Whether a process has a device, named as in the namespace that it is in. */
  has(netns: number, name: string): boolean {
    return this.#attached.has(`${netns} ${name}`);
  }

  #ask(pid: number, tid: number, fd: number): void {
    const opened: number[] = [];
    const open = (fd: number): number => {
      opened.push(fd);
      return fd;
    };
    try {
      const pidfd = open(this.kernel.call(holderOf(pid, tid)));
      const copy = open(this.kernel.call(pidfd_getfd(pidfd, fd)));
      const { name } = this.kernel.call(tunGetIff(copy));
      const namespace = open(this.kernel.call(tunDeviceNamespace(copy)));
      const { ino } = this.kernel.call(statx(namespace, "", AT.AT_EMPTY_PATH));
      this.#attached.add(`${ino} ${name}`);
    } catch (error) {
      if (!isSyscallError(error)) throw error;
      // EBADFD: no device is behind it. The others: it was closed, or its process has ended.
      if (!error.is("EBADFD", "EBADF", "ESRCH", "ENOTTY")) this.unknown++;
    } finally {
      for (const fd of opened) this.kernel.call(close(fd));
    }
  }
}
