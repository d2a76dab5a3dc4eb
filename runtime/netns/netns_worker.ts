import type { Call } from "../../ffi/call.ts";
import type { Kernel, Results } from "../../ffi/kernel.ts";
import type { Pidfd } from "../../ffi/pidfd.ts";
import { PinnedThread } from "../../ffi/pinned_thread.ts";
import { openNamespace } from "../../ffi/process_namespaces.ts";
import { AT, AT_FDCWD, O } from "../../ffi/abi/file_flags.ts";
import { close, openat, statx } from "../../ffi/syscalls/file.ts";
import { ValidationError } from "../spec/validation_error.ts";

/** Where `ip netns` and `belay netns` publish namespaces. */
const NETNS_DIRECTORY = "/run/netns";

/** Which network namespace: an open one (the caller's descriptor), a published one, a process's, or a new one. */
export type NetnsTarget =
  | { readonly fd: number }
  | { readonly name: string; readonly directory?: string }
  | { readonly pidfd: Pidfd }
  | "new";

/**
 * One network namespace, and one thread that is in it from its first statement to its end (DESIGN, law 3). All work
 * in a network namespace goes through one of these: it is a `Kernel`, so what speaks netlink or opens /dev/net/tun
 * takes it as its first argument.
 *
 * Starting one costs some 10 ms and 7 MiB, a call of a warm one some 10 µs.
 */
export class NetnsWorker implements Kernel, AsyncDisposable {
  private constructor(private readonly pinned: PinnedThread) {}

  /**
   * Enters. `kernel` opens what is entered: this thread.
   * @throws ValidationError for a name that is none; SyscallError; PinnedThreadError; WrongNamespaceError.
   */
  static async enter(
    kernel: Kernel,
    target: NetnsTarget,
    options: { readonly timeoutMs?: number } = {},
  ): Promise<NetnsWorker> {
    if (target === "new") {
      const label = "a new network namespace";
      return new NetnsWorker(
        await PinnedThread.start(kernel, { ...options, label, enter: "new" }),
      );
    }
    const label = labelOf(target);
    const fd = "fd" in target ? target.fd : open(kernel, target);
    try {
      const inode = Number(kernel.call(statx(fd, "", AT.AT_EMPTY_PATH)).ino);
      return new NetnsWorker(
        await PinnedThread.start(kernel, { ...options, label, enter: fd, inode }),
      );
    } finally {
      if (!("fd" in target)) kernel.call(close(fd));
    }
  }

  /** The namespace's inode, as `ls -l /proc/PID/ns/net` shows it. */
  get inode(): number {
    return this.pinned.inode;
  }

  /** @inheritdoc */
  call<R>(made: Call<R>): R {
    return this.pinned.call(made);
  }

  /** @inheritdoc */
  batch<const T extends readonly Call<unknown>[]>(calls: T): Results<T> {
    return this.pinned.batch(calls);
  }

  /** A descriptor of the namespace, close-on-exec, the caller's. */
  openNamespace(): number {
    return this.call(openat(AT_FDCWD, "/proc/thread-self/ns/net", O.O_RDONLY));
  }

  /** Leaves: when it returns, nothing of this is in the namespace any more. Twice is harmless. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.pinned[Symbol.asyncDispose]();
  }
}

function open(
  kernel: Kernel,
  target: Exclude<NetnsTarget, "new" | { readonly fd: number }>,
): number {
  if ("pidfd" in target) return openNamespace(kernel, target.pidfd, "net");
  const { name, directory = NETNS_DIRECTORY } = target;
  if (name === "" || name === "." || name === ".." || name.includes("/")) {
    throw new ValidationError("name", `${JSON.stringify(name)} is no name of a network namespace`);
  }
  return kernel.call(openat(AT_FDCWD, `${directory}/${name}`, O.O_RDONLY));
}

function labelOf(target: Exclude<NetnsTarget, "new">): string {
  if ("name" in target) return `network namespace ${target.name}`;
  if ("pidfd" in target) return `the network namespace of process ${target.pidfd.pid}`;
  return `the network namespace of descriptor ${target.fd}`;
}
