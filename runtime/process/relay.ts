import type { Kernel } from "../../ffi/kernel.ts";
import type { Carriers } from "../../ffi/remote.ts";
import { attempt } from "../../ffi/call.ts";
import type { Pidfd } from "../../ffi/pidfd.ts";
import { cancelReadable, waitReadable } from "../../ffi/readiness.ts";
import { close, fcntl, read, write } from "../../ffi/syscalls/file.ts";
import { POLL, ppoll } from "../../ffi/syscalls/event.ts";
import { getTermios, getWindowSize, setTermios, setWindowSize } from "../../ffi/syscalls/tty.ts";
import { F, O } from "../../ffi/abi/file_flags.ts";
import { TERMIOS, TERMIOS_CC, TERMIOS_FLAG } from "../../ffi/abi/tty.ts";
import { SIGNAL } from "../../ffi/abi/signals.ts";
import { isSyscallError } from "../../ffi/syscall_error.ts";
import { type Foreground, forwardSignals } from "./foreground.ts";
import { type RawTerminal, rawTerminal } from "./raw_terminal.ts";

const CHUNK = 0x4000;
const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;
/** How long the container gets to read what was typed, before the rest is offered again. */
const FULL_PAUSE_MS = 5;
/** How often a container is told that there is no more input. */
const END_PAUSE_MS = 250;
/** How often is looked whether anybody has opened the container's terminal again. */
const CLOSED_PAUSE_MS = 100;

/**
 * A container with a terminal: what is typed at belay's goes to it, what it prints comes back, sizes follow. Belay's
 * own terminal is raw meanwhile, so that job control keys are the container's. Input and output need not be terminals.
 */
export class Relay implements Foreground {
  /** Most commands in containers are short: for those no thread is started to wait with. */
  readonly patienceMs = 5;
  private readonly kernel: Kernel;
  #signals: Disposable | undefined;
  #raw: RawTerminal | undefined;
  #pumps: Promise<void>[] = [];
  /** Ends pauses. */
  readonly #over = Promise.withResolvers<void>();
  #ended = false;
  #hungUp = false;
  #failure: unknown;
  readonly #resize = () => this.#followSize();
  #continue = () => {};

  /** @param master The container's terminal; owned from here on. */
  constructor(private readonly carriers: Carriers, private readonly master: number) {
    const kernel = this.kernel = carriers.thread;
    // The other terminal, if there is one, already makes a carriage return of every line feed.
    const termios = kernel.call(getTermios(master)).slice();
    const view = new DataView(termios.buffer);
    const { oflag } = TERMIOS;
    view.setUint32(oflag, view.getUint32(oflag, true) & ~TERMIOS_FLAG.ONLCR, true);
    kernel.call(setTermios(master, termios));
    // Belay must not wait for a container that does not read, which may be waiting for belay to read.
    const flags = kernel.call(fcntl(master, F.F_GETFL));
    kernel.call(fcntl(master, F.F_SETFL, flags | O.O_NONBLOCK));
    this.#followSize();
  }

  /** @inheritdoc */
  listen(process: Pidfd): void {
    // SIGTTIN and SIGTTOU stop belay as they would any job in the background; if they were caught, the call that
    // caused them would cause them again, for ever.
    const except = ["SIGWINCH", "SIGCONT", "SIGTTIN", "SIGTTOU"] as const;
    this.#continue = () => {
      this.#raw?.again();
      process.signal(SIGNAL.SIGCONT);
    };
    Deno.addSignalListener("SIGWINCH", this.#resize);
    Deno.addSignalListener("SIGCONT", this.#continue);
    this.#signals = forwardSignals(this.kernel, process, except);
  }

  /** @inheritdoc */
  attach(): void {
    // Not before signals are handled: one that ended belay would leave the terminal raw.
    this.#raw = rawTerminal(this.carriers, STDIN);
    this.#followSize();
    this.#pumps = [this.#guard(this.#pumpInput()), this.#guard(this.#pumpOutput())];
  }

  /** Input that nobody has read is left where it is; the output is written to its end. */
  async drain(): Promise<void> {
    this.#ended = true;
    this.#over.resolve();
    cancelReadable(this.kernel, STDIN);
    if (!this.#hungUp) cancelReadable(this.kernel, this.master);
    await Promise.all(this.#pumps);
    if (this.#failure !== undefined) throw this.#failure;
    while (!this.#hungUp && this.#hasOutput()) {
      const bytes = this.#readMaster();
      if (typeof bytes === "string" || !this.#print(bytes)) return;
    }
  }

  /** The terminal is as it was before. */
  [Symbol.dispose](): void {
    this.#raw?.[Symbol.dispose]();
    this.#raw = undefined;
    if (this.#signals !== undefined) {
      this.#signals[Symbol.dispose]();
      Deno.removeSignalListener("SIGWINCH", this.#resize);
      Deno.removeSignalListener("SIGCONT", this.#continue);
      this.#signals = undefined;
    }
    this.#hangUp();
  }

  /** Follows the first of belay's descriptors that is a terminal; without any, the size stays what it is. */
  #followSize(): void {
    for (const fd of [STDIN, STDOUT, STDERR]) {
      const size = this.kernel.call(attempt(getWindowSize(fd)));
      if (size instanceof Error) continue;
      // A terminal that nobody has told its size has none to follow.
      if (size.rows > 0 && !this.#hungUp) {
        this.kernel.call(attempt(setWindowSize(this.master, size)));
      }
      return;
    }
  }

  /** As when a window is closed: the container's processes get SIGHUP, read the end and fail to write. */
  #hangUp(): void {
    if (this.#hungUp) return;
    this.#hungUp = true;
    cancelReadable(this.kernel, this.master);
    this.kernel.call(close(this.master));
  }

  /** A pump that fails ends the relay, and is heard of when the container has ended of it. */
  async #guard(pump: Promise<void>): Promise<void> {
    try {
      await pump;
    } catch (error) {
      this.#failure ??= error;
      this.#hangUp();
    }
  }

  async #pumpInput(): Promise<void> {
    let last = 0x0a;
    while (await this.#readable(STDIN)) {
      const bytes = this.#readInput();
      if (bytes === undefined) continue;
      if (bytes.length === 0) return await this.#endInput(last);
      last = bytes.at(-1) ?? last;
      await this.#send(bytes);
    }
  }

  /** The next bytes of belay's input; none at its end. */
  #readInput(): Uint8Array | undefined {
    try {
      return this.kernel.call(read(STDIN, CHUNK));
    } catch (error) {
      if (isSyscallError(error, "EAGAIN", "EINTR")) return undefined;
      if (isSyscallError(error, "EIO")) return new Uint8Array(); // the terminal is gone
      throw error;
    }
  }

  /**
   * No more input will come. A terminal has no such state: its programs read an end where the end-of-file character
   * was typed. It is typed again and again, because whoever changes the terminal's mode loses it (a shell does, before
   * its first prompt), and because every read at the end of a file says that it is the end.
   */
  async #endInput(last: number): Promise<void> {
    if (this.#raw !== undefined) return this.#hangUp(); // a raw terminal's end is its being gone
    const termios = this.kernel.call(getTermios(this.master));
    const end = termios[TERMIOS.cc + TERMIOS_CC.VEOF] ?? 4;
    // In the middle of a line it only hands over what has been typed of it.
    if (last !== 0x0a) await this.#send(new Uint8Array([end]));
    while (!this.#ended && !this.#hungUp) {
      await this.#send(new Uint8Array([end]));
      await this.#pause(END_PAUSE_MS);
    }
  }

  async #send(bytes: Uint8Array): Promise<void> {
    for (let rest = bytes; rest.length > 0 && !this.#ended && !this.#hungUp;) {
      try {
        rest = rest.subarray(this.kernel.call(write(this.master, rest)));
      } catch (error) {
        if (!isSyscallError(error, "EAGAIN", "EINTR")) throw error;
        await this.#pause(FULL_PAUSE_MS);
      }
    }
  }

  async #pumpOutput(): Promise<void> {
    while (!this.#hungUp && await this.#readable(this.master)) {
      const bytes = this.#readMaster();
      if (bytes === "closed") await this.#pause(CLOSED_PAUSE_MS);
      else if (bytes !== "later" && !this.#print(bytes)) return;
    }
  }

  /** "closed": nobody in the container has it open, for the moment. */
  #readMaster(): Uint8Array | "closed" | "later" {
    try {
      const bytes = this.kernel.call(read(this.master, CHUNK));
      return bytes.length === 0 ? "closed" : bytes;
    } catch (error) {
      if (isSyscallError(error, "EIO")) return "closed";
      if (isSyscallError(error, "EAGAIN", "EINTR")) return "later";
      throw error;
    }
  }

  #hasOutput(): boolean {
    const [events = 0] = this.kernel.call(ppoll([{ fd: this.master, events: POLL.POLLIN }], 0));
    return (events & POLL.POLLIN) !== 0;
  }

  /** False when nobody reads belay's output any more; then the container's terminal is hung up. */
  #print(bytes: Uint8Array): boolean {
    for (let rest = bytes; rest.length > 0;) {
      try {
        rest = rest.subarray(this.kernel.call(write(STDOUT, rest)));
      } catch (error) {
        if (isSyscallError(error, "EPIPE", "EIO")) {
          this.#hangUp();
          return false;
        }
        if (!isSyscallError(error, "EAGAIN", "EINTR")) throw error;
        // Somebody else made it non-blocking. Nothing else is to be done meanwhile.
        this.kernel.call(attempt(ppoll([{ fd: STDOUT, events: POLL.POLLOUT }])));
      }
    }
    return true;
  }

  /** Waits until a descriptor can be read; false when the container has ended, or nothing is left to wait for. */
  async #readable(fd: number): Promise<boolean> {
    if (this.#ended || this.#hungUp) return false;
    try {
      if (!await waitReadable(this.kernel, fd)) return false;
    } catch (error) {
      // A plain file or /dev/null cannot be waited for (epoll_ctl(2), EPERM): it can always be read.
      if (!isSyscallError(error, "EPERM") || error.syscall !== "epoll_ctl") throw error;
    }
    return !this.#ended && !this.#hungUp;
  }

  async #pause(ms: number): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const passed = new Promise<void>((resolve) => timer = setTimeout(resolve, ms));
    await Promise.race([passed, this.#over.promise]);
    clearTimeout(timer);
  }
}
