import type { Kernel } from "../../ffi/kernel.ts";
import { close, openat } from "../../ffi/syscalls/file.ts";
import {
  connect,
  DescriptorMessage,
  setSendTimeout,
  SOCK,
  socket,
} from "../../ffi/syscalls/socket.ts";
import { AT_FDCWD, O } from "../../ffi/abi/file_flags.ts";

/** How long somebody who listens may take to have room for one more caller, and for what it is told. */
const PATIENCE_S = 10;

/** A connection to whoever listens at a path, for descriptors. */
export class DescriptorSocket implements Disposable {
  #fd: number | undefined;

  /** @throws SyscallError EAGAIN when nobody there accepts callers, and more. */
  constructor(private readonly kernel: Kernel, path: string) {
    const fd = kernel.call(socket(SOCK.SOCK_STREAM));
    try {
      this.#connect(fd, path);
      this.#fd = fd;
    } catch (error) {
      kernel.call(close(fd));
      throw error;
    }
  }

  #connect(fd: number, path: string): void {
    const { kernel } = this;
    const slash = path.lastIndexOf("/") + 1;
    // By the directory's descriptor: an address holds 107 bytes, and a path may be longer.
    const opened = openat(AT_FDCWD, path.slice(0, slash) || ".", O.O_PATH | O.O_DIRECTORY);
    const directory = kernel.call(opened);
    try {
      const short = `/proc/self/fd/${directory}/${path.slice(slash)}`;
      kernel.batch([setSendTimeout(fd, PATIENCE_S), connect(fd, short)]);
    } finally {
      kernel.call(close(directory));
    }
  }

  /**
   * Sends a text, and descriptors with its first byte.
   * @returns How many bytes there was room for, and how many it has.
   * @throws SyscallError EAGAIN when nobody reads, EPIPE when they have hung up, and more.
   */
  send(fds: readonly number[], text: string): { readonly sent: number; readonly size: number } {
    const message = new DescriptorMessage(fds, text);
    const sent = this.kernel.call(message.send(this.#fd ?? -1));
    return { sent, size: new TextEncoder().encode(text).length };
  }

  /** Hangs up. Twice is harmless. */
  [Symbol.dispose](): void {
    if (this.#fd !== undefined) this.kernel.call(close(this.#fd));
    this.#fd = undefined;
  }
}

/**
 * Sends a descriptor to whoever listens on a unix socket, with a short text, and hangs up.
 * @throws SyscallError as `DescriptorSocket`.
 */
export function sendDescriptor(kernel: Kernel, path: string, sent: number, text: string): void {
  const there = new DescriptorSocket(kernel, path);
  try {
    there.send([sent], text);
  } finally {
    there[Symbol.dispose]();
  }
}
