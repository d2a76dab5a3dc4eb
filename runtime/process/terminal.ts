import type { Kernel } from "../../ffi/kernel.ts";
import { attempt } from "../../ffi/call.ts";
import { cancelReadable, waitReadable } from "../../ffi/readiness.ts";
import { close, read, write } from "../../ffi/syscalls/file.ts";
import { POLL, ppoll } from "../../ffi/syscalls/event.ts";
import { getTermios, getWindowSize, setTermios, setWindowSize } from "../../ffi/syscalls/tty.ts";
import { TERMIOS, TERMIOS_CC, TERMIOS_FLAG } from "../../ffi/abi/tty.ts";
import { isSyscallError } from "../../ffi/syscall_error.ts";
import { CommandError } from "../cli/command_error.ts";
import { consoleSocketTerminal, type TerminalWay } from "./console_socket.ts";
import { type Foreground, forwardSignals } from "./foreground.ts";
import { makeTerminal } from "./make_terminal.ts";

const CHUNK = 0x4000;
const STDIN = 0;
const STDOUT = 1;

/** `run`'s way with terminals: handed over when it detaches, its own terminal in the foreground. */
export function runTerminal(
  kernel: Kernel,
  { detach, socket }: { readonly detach: boolean; readonly socket: string | undefined },
): TerminalWay & { foreground(): Foreground } {
  if (detach) {
    return { ...consoleSocketTerminal(kernel, socket), foreground: () => new Plain() };
  }
  let master: number | undefined;
  return {
    check() {
      if (socket === undefined) return;
      throw new CommandError(
        "--console-socket: cannot use console socket if belay will not detach (--detach)",
      );
    },
    make(init, root, spec) {
      master = makeTerminal(init, root, spec);
    },
    foreground: () => master === undefined ? new Plain() : new Relay(kernel, master),
  };
}

/** A container without a terminal: it has belay's own descriptors, and belay hands on signals. */
class Plain implements Foreground {
  #signals: Disposable | undefined;

  attach(init: Parameters<Foreground["attach"]>[0]): void {
    this.#signals = forwardSignals(init);
  }

  drain(): Promise<void> {
    return Promise.resolve();
  }

  [Symbol.dispose](): void {
    this.#signals?.[Symbol.dispose]();
  }
}

/**
 * A container with a terminal: what is typed at belay's goes to it, what it prints comes back, sizes follow. Belay's
 * own terminal is raw meanwhile, so that job control keys are the container's.
 */
class Relay implements Foreground {
  #signals: Disposable | undefined;
  #restore: Uint8Array | undefined;
  readonly #resize = () => this.#followSize();
  #pumps: Promise<unknown>[] = [];
  #ended = false;

  constructor(private readonly kernel: Kernel, private readonly master: number) {
    // The other terminal, if there is one, already makes a carriage return of every line feed.
    const termios = kernel.call(getTermios(master)).slice();
    const view = new DataView(termios.buffer);
    const { oflag } = TERMIOS;
    view.setUint32(oflag, view.getUint32(oflag, true) & ~TERMIOS_FLAG.ONLCR, true);
    kernel.call(setTermios(master, termios));
    this.#makeRaw();
    this.#followSize();
  }

  attach(init: Parameters<Foreground["attach"]>[0]): void {
    this.#signals = forwardSignals(init, ["SIGWINCH"]);
    Deno.addSignalListener("SIGWINCH", this.#resize);
    this.#followSize();
    this.#pumps = [this.#pump(STDIN, this.master), this.#pump(this.master, STDOUT)];
  }

  /** The input is left where it is; the output is written to its end. */
  async drain(): Promise<void> {
    this.#ended = true;
    cancelReadable(this.kernel, STDIN);
    cancelReadable(this.kernel, this.master);
    await Promise.all(this.#pumps);
    while (this.#readable() && this.#copy(this.master, STDOUT));
  }

  [Symbol.dispose](): void {
    this.#signals?.[Symbol.dispose]();
    if (this.#signals !== undefined) Deno.removeSignalListener("SIGWINCH", this.#resize);
    this.#signals = undefined;
    if (this.#restore !== undefined) {
      // Belay's terminal may be gone by now (a closed window): nothing is left to restore then.
      this.kernel.call(attempt(setTermios(STDIN, this.#restore)));
      this.#restore = undefined;
      this.kernel.call(close(this.master));
    }
  }

  #makeRaw(): void {
    const termios = this.kernel.call(attempt(getTermios(STDIN)));
    if (termios instanceof Error) return; // not a terminal: a pipe, a file
    this.#restore = termios.slice();
    this.kernel.call(setTermios(STDIN, rawTermios(termios)));
  }

  #followSize(): void {
    const size = this.kernel.call(attempt(getWindowSize(STDIN)));
    if (size instanceof Error || size.rows === 0) return; // not a terminal, or one without a size
    this.kernel.call(attempt(setWindowSize(this.master, size)));
  }

  #readable(): boolean {
    const [events = 0] = this.kernel.call(ppoll([{ fd: this.master, events: POLL.POLLIN }], 0));
    return (events & POLL.POLLIN) !== 0;
  }

  async #pump(from: number, to: number): Promise<void> {
    while (!this.#ended) {
      if (!await this.#ready(from)) return;
      if (!this.#copy(from, to)) return;
    }
  }

  async #ready(fd: number): Promise<boolean> {
    try {
      return await waitReadable(this.kernel, fd);
    } catch (error) {
      // A plain file or /dev/null cannot be waited for: it can always be read.
      if (isSyscallError(error, "EPERM")) return true;
      throw error;
    }
  }

  /** Copies once; false at the end of either side. */
  #copy(from: number, to: number): boolean {
    try {
      let rest = this.kernel.call(read(from, CHUNK));
      if (rest.length === 0) return false;
      while (rest.length > 0) rest = rest.subarray(this.kernel.call(write(to, rest)));
      return true;
    } catch (error) {
      // EIO: nobody has the container's side open any more; EPIPE: nobody reads belay's output.
      if (isSyscallError(error, "EIO", "EPIPE")) return false;
      throw error;
    }
  }
}

/** Settings under which every key arrives as it is (cfmakeraw(3)), with output processing left on. */
export function rawTermios(termios: Uint8Array): Uint8Array {
  const raw = termios.slice();
  const view = new DataView(raw.buffer);
  const clear = (at: number, bits: number) => {
    view.setUint32(at, view.getUint32(at, true) & ~bits, true);
  };
  const T = TERMIOS_FLAG;
  clear(
    TERMIOS.iflag,
    T.IGNBRK | T.BRKINT | T.PARMRK | T.ISTRIP | T.INLCR | T.IGNCR | T.ICRNL | T.IXON,
  );
  clear(TERMIOS.lflag, T.ECHO | T.ECHONL | T.ICANON | T.ISIG | T.IEXTEN);
  clear(TERMIOS.cflag, T.CSIZE | T.PARENB);
  view.setUint32(TERMIOS.cflag, view.getUint32(TERMIOS.cflag, true) | T.CS8, true);
  raw[TERMIOS.cc + TERMIOS_CC.VMIN] = 1;
  raw[TERMIOS.cc + TERMIOS_CC.VTIME] = 0;
  return raw;
}
