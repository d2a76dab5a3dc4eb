import type { Kernel } from "../../ffi/kernel.ts";
import type { Carriers } from "../../ffi/remote.ts";
import type { Pidfd } from "../../ffi/pidfd.ts";
import { close } from "../../ffi/syscalls/file.ts";
import { CommandError } from "../cli/command_error.ts";
import { consoleSocketTerminal, type TerminalWay } from "./console_socket.ts";
import { type Foreground, forwardSignals } from "./foreground.ts";
import { makeTerminal } from "./make_terminal.ts";
import { Relay } from "./relay.ts";

/**
 * `run`'s and `exec`'s way with terminals: handed over when it detaches, its own terminal in the foreground. Disposing closes a
 * terminal that was made and that `foreground()` has not taken over.
 */
export function runTerminal(
  carriers: Carriers,
  { detach, socket }: { readonly detach: boolean; readonly socket: string | undefined },
): TerminalWay & Disposable & { foreground(): Foreground } {
  const kernel = carriers.thread;
  if (detach) {
    const way = consoleSocketTerminal(kernel, socket);
    return { ...way, foreground: () => new Plain(kernel), [Symbol.dispose]() {} };
  }
  let master: number | undefined;
  return {
    check() {
      if (socket === undefined) return;
      throw new CommandError(
        "--console-socket: cannot use console socket if belay will not detach or allocate tty (--detach)",
      );
    },
    make(stub, root, process, atConsole) {
      master = makeTerminal(stub, root, process, atConsole);
    },
    foreground() {
      if (master === undefined) return new Plain(kernel);
      const relay = new Relay(carriers, master);
      master = undefined;
      return relay;
    },
    [Symbol.dispose]() {
      if (master !== undefined) kernel.call(close(master));
    },
  };
}

/** A container without a terminal: it has belay's own descriptors, and belay hands on signals. */
class Plain implements Foreground {
  /** Signals are handed on while this thread waits, and there is nothing else to do. */
  readonly patienceMs = undefined;
  #signals: Disposable | undefined;

  constructor(private readonly kernel: Kernel) {}

  listen(process: Pidfd): void {
    this.#signals = forwardSignals(this.kernel, process);
  }

  attach(): void {}

  drain(): Promise<void> {
    return Promise.resolve();
  }

  [Symbol.dispose](): void {
    this.#signals?.[Symbol.dispose]();
  }
}
