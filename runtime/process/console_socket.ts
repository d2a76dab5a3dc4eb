import type { Kernel } from "../../ffi/kernel.ts";
import type { Remote } from "../../ffi/remote.ts";
import { close } from "../../ffi/syscalls/file.ts";
import { CommandError } from "../cli/command_error.ts";
import type { Process } from "../spec/types.ts";
import { makeTerminal } from "./make_terminal.ts";
import { sendDescriptor } from "./send_descriptor.ts";

/** What becomes of the container's terminal. */
export interface TerminalWay {
  /** Whether what is wanted and the command line fit together. @throws CommandError */
  check(process: Pick<Process, "terminal">): void;
  /** Makes the terminal; see `makeTerminal`. */
  make(
    stub: Remote,
    root: number,
    process: Pick<Process, "consoleSize" | "user">,
    atConsole: boolean,
  ): void;
}

/** What is sent with the descriptor: the name that runc's receivers expect to read. */
const NAME = "/dev/ptmx";

/** The terminal's master goes to whoever listens on a unix socket: the caller of a command that does not stay. */
export function consoleSocketTerminal(kernel: Kernel, path: string | undefined): TerminalWay {
  return {
    check({ terminal }) {
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
    make(stub, root, process, atConsole) {
      if (path === undefined) throw new Error("check() comes before make()");
      const master = makeTerminal(stub, root, process, atConsole);
      try {
        sendDescriptor(kernel, path, master, NAME);
      } catch (cause) {
        throw new CommandError(`--console-socket: ${path}`, { cause });
      } finally {
        kernel.call(close(master));
      }
    },
  };
}
