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

/** How long somebody who listens may take to have room for one more caller. */
const PATIENCE_S = 10;

/**
 * Sends a descriptor to whoever listens on a unix socket, with a text, and hangs up.
 * @throws SyscallError EAGAIN when nobody there accepts callers, and more.
 */
export function sendDescriptor(kernel: Kernel, path: string, sent: number, text: string): void {
  const fd = kernel.call(socket(SOCK.SOCK_STREAM));
  const slash = path.lastIndexOf("/") + 1;
  try {
    // By the directory's descriptor: an address holds 107 bytes, and a path may be longer.
    const opened = openat(AT_FDCWD, path.slice(0, slash) || ".", O.O_PATH | O.O_DIRECTORY);
    const directory = kernel.call(opened);
    try {
      const short = `/proc/self/fd/${directory}/${path.slice(slash)}`;
      kernel.batch([
        setSendTimeout(fd, PATIENCE_S),
        connect(fd, short),
        new DescriptorMessage([sent], text).send(fd),
      ]);
    } finally {
      kernel.call(close(directory));
    }
  } finally {
    kernel.call(close(fd));
  }
}
