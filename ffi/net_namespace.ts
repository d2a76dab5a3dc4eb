import type { Kernel } from "./kernel.ts";
import type { Carriers, Remote } from "./remote.ts";
import { unshare } from "./syscalls/namespace.ts";
import { openNamespace } from "./process_namespaces.ts";
import { CLONE } from "./abi/process_flags.ts";

/**
 * Makes network namespaces, in a process that is there for nothing else: no thread of belay ever is in one of them.
 * The last one that was made stays alive with that process, until it is disposed of.
 */
export class NetNamespaceMaker implements Disposable {
  readonly #stub: Remote;

  constructor(private readonly carriers: Carriers) {
    this.#stub = carriers.spawn("netns");
  }

  /**
   * A descriptor of a new network namespace, owned by the caller: it lives as long as somebody holds one.
   * @throws SyscallError EPERM without CAP_SYS_ADMIN, ENOSPC at the limit in /proc/sys/user/max_net_namespaces.
   */
  make(): number {
    this.#stub.call(unshare(CLONE.CLONE_NEWNET));
    return openNamespace(this.carriers.thread, this.#stub.pidfd, "net");
  }

  /** Who is in the last one that was made, to make calls there: a process of one thread, which is nowhere else. */
  get inside(): Kernel {
    return this.#stub;
  }

  /** Ends the process. */
  [Symbol.dispose](): void {
    using pidfd = this.#stub.pidfd;
    this.#stub[Symbol.dispose]();
    pidfd.reap();
  }
}
