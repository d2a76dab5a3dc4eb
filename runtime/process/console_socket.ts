import type { Kernel } from "../../ffi/kernel.ts";
import type { Remote } from "../../ffi/remote.ts";
import { close, openat } from "../../ffi/syscalls/file.ts";
import { connect, DescriptorMessage, SOCK, socket } from "../../ffi/syscalls/socket.ts";
import { AT_FDCWD, O } from "../../ffi/abi/file_flags.ts";
import { CommandError } from "../cli/command_error.ts";
import type { Spec } from "../spec/types.ts";
import { makeTerminal } from "./make_terminal.ts";

/** What becomes of the container's terminal. */
export interface TerminalWay {
  /** Whether config.json and the command line fit together. @throws CommandError */
  check(spec: Spec): void;
  /** Makes the terminal, when config.json wants one. */
  make(init: Remote, root: number, spec: Spec): void;
}

/** What is sent with the descriptor: the name that runc's receivers expect to read. */
const NAME = "/dev/ptmx";

/** The terminal's master goes to whoever listens on a unix socket: the caller of a command that does not stay. */
export function consoleSocketTerminal(kernel: Kernel, path: string | undefined): TerminalWay {
  return {
    check({ process: { terminal } }) {
      if (terminal && path === undefined) {
        throw new CommandError(
          "process.terminal: cannot allocate tty if belay will detach without setting console socket " +
            "(--console-socket SOCKET)",
        );
      }
      if (!terminal && path !== undefined) {
        throw new CommandError(
          "--console-socket: cannot use console socket if belay will not detach or allocate tty (process.terminal is " +
            "false)",
        );
      }
    },
    make(init, root, spec) {
      if (path === undefined) throw new Error("check() comes before make()");
      const master = makeTerminal(init, root, spec);
      try {
        sendMaster(kernel, path, master);
      } finally {
        kernel.call(close(master));
      }
    },
  };
}

function sendMaster(kernel: Kernel, path: string, master: number): void {
  const fd = kernel.call(socket(SOCK.SOCK_STREAM));
  const slash = path.lastIndexOf("/") + 1;
  try {
    // By the directory's descriptor: an address holds 107 bytes, and a path may be longer.
    const opened = openat(AT_FDCWD, path.slice(0, slash) || ".", O.O_PATH | O.O_DIRECTORY);
    const directory = kernel.call(opened);
    try {
      const short = `/proc/self/fd/${directory}/${path.slice(slash)}`;
      kernel.batch([connect(fd, short), new DescriptorMessage([master], NAME).send(fd)]);
    } finally {
      kernel.call(close(directory));
    }
  } catch (cause) {
    throw new CommandError(`--console-socket: ${path}`, { cause });
  } finally {
    kernel.call(close(fd));
  }
}
