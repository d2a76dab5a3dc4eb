import type { Kernel } from "../kernel.ts";
import { isSyscallError } from "../syscall_error.ts";
import { geteuid } from "../syscalls/credentials.ts";
import { close } from "../syscalls/file.ts";
import { connect, SOCK, socket } from "../syscalls/socket.ts";
import { connectAbstract, streamReceive, streamSend, streamTimeouts } from "../syscalls/stream.ts";
import { parseBusAddress } from "./address.ts";
import type { DbusValue } from "./encode.ts";
import { DbusFormatError } from "./signature.ts";
import { dbusLength, type DbusMessage, decodeDbus, encodeDbus, MESSAGE } from "./message.ts";

/** How long an answer may take; also what one system call may. */
const ANSWER_TIMEOUT_MS = 10_000;
const CHUNK_SIZE = 8192;
/** The longest line of the handshake that is read. */
const LONGEST_LINE = 1024;
/** Signals that nobody has waited for yet. A bus sends only those that were asked for. */
const MOST_SIGNALS = 1000;

/** A bus that cannot be reached, does not answer, or answers with an error. */
export class DbusError extends Error {
  override readonly name = "DbusError";
  /** `org.freedesktop.systemd1.NoSuchUnit`; undefined when it is no answer of the service's. */
  readonly errorName: string | undefined;

  /** Makes the error; `message` names the bus and the method. */
  constructor(message: string, errorName?: string, options: ErrorOptions = {}) {
    super(message, options);
    this.errorName = errorName;
  }
}

/** A method to call. */
export interface DbusCall {
  readonly destination: string;
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  /** The types of `body`. */
  readonly signature?: string;
  readonly body?: readonly DbusValue[];
}

/** A connection to a message bus. Every exchange is synchronous, and bounded in time. */
export class DbusConnection implements Disposable {
  #serial = 0;
  #open = true;
  #received = new Uint8Array(0);
  #signals: DbusMessage[] = [];

  private constructor(
    private readonly kernel: Kernel,
    private readonly fd: number,
    private readonly bus: string,
    private readonly timeoutMs: number,
  ) {}

  /**
   * Connects, has the kernel say who we are (SASL EXTERNAL) and says Hello.
   * @param address As in DBUS_SYSTEM_BUS_ADDRESS.
   * @throws {DbusError} that names the bus.
   */
  static open(kernel: Kernel, address: string, timeoutMs = ANSWER_TIMEOUT_MS): DbusConnection {
    const where = parseBusAddress(address);
    if (where === undefined) {
      throw new DbusError(`bus ${JSON.stringify(address)}: no address of a unix socket`);
    }
    const fd = kernel.call(socket(SOCK.SOCK_STREAM));
    const connection = new DbusConnection(kernel, fd, address, timeoutMs);
    try {
      kernel.batch(streamTimeouts(fd, timeoutMs));
      connection.#told(
        "cannot be reached",
        () =>
          kernel.call(
            "path" in where ? connect(fd, where.path) : connectAbstract(fd, where.abstract),
          ),
      );
      connection.#authenticate(kernel.call(geteuid()));
      connection.call({ ...BUS, member: "Hello" });
      return connection;
    } catch (error) {
      connection[Symbol.dispose]();
      throw error;
    }
  }

  /** Calls a method, and returns what it returns. @throws {DbusError} with the service's own name and words. */
  call(method: DbusCall): readonly DbusValue[] {
    const serial = this.#serial = this.#serial % 0xffffffff + 1;
    const { body = [], ...header } = method;
    const what = `${method.interface}.${method.member}`;
    this.#send(encodeDbus({ type: MESSAGE.CALL, serial, ...header, body }), what);
    const deadline = this.#deadline(this.timeoutMs);
    for (;;) {
      const message = this.#next(what, deadline);
      if (message.type === MESSAGE.SIGNAL) this.#keep(message);
      if (message.replySerial !== serial) continue;
      if (message.type === MESSAGE.RETURN) return message.body;
      if (message.type !== MESSAGE.ERROR) continue;
      const [words] = message.body;
      const name = message.errorName ?? "an error without a name";
      const told = typeof words === "string" ? `${words} (${name})` : name;
      throw new DbusError(`${this.bus}: ${what}: ${told}`, name);
    }
  }

  /** Has the bus send signals. @param rule As `type='signal',member='JobRemoved'`. @throws {DbusError} */
  match(rule: string): void {
    this.call({ ...BUS, member: "AddMatch", signature: "s", body: [rule] });
  }

  /**
   * The first signal that `wanted` says yes to, of those that came and those that will; others before it are
   * forgotten.
   * @throws {DbusError} when none comes in time.
   */
  signal(what: string, ms: number, wanted: (signal: DbusMessage) => boolean): DbusMessage {
    const deadline = this.#deadline(ms);
    for (;;) {
      const message = this.#signals.shift() ?? this.#next(what, deadline);
      if (message.type === MESSAGE.SIGNAL && wanted(message)) return message;
    }
  }

  /** Hangs up; twice is harmless. */
  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    this.kernel.call(close(this.fd));
  }

  #authenticate(uid: number): void {
    // Without a number: the bus takes the kernel's, which is another than ours where it is in another user namespace.
    this.#send(new TextEncoder().encode("\0AUTH EXTERNAL\r\nDATA\r\n"), "AUTH");
    const first = this.#line();
    const answer = first.startsWith("DATA") ? this.#line() : first;
    if (!answer.startsWith("OK ")) {
      throw new DbusError(`${this.bus}: it does not let uid ${uid} in: ${JSON.stringify(answer)}`);
    }
    this.#send(new TextEncoder().encode("BEGIN\r\n"), "BEGIN");
  }

  #line(): string {
    const deadline = this.#deadline(this.timeoutMs);
    for (;;) {
      const end = this.#received.indexOf(10);
      if (end >= 0) {
        const line = new TextDecoder().decode(this.#received.subarray(0, end));
        this.#received = this.#received.slice(end + 1);
        return line.trimEnd();
      }
      if (this.#received.length > LONGEST_LINE) {
        throw new DbusError(`${this.bus}: it speaks no D-Bus`);
      }
      this.#more("AUTH", deadline);
    }
  }

  #next(what: string, deadline: number): DbusMessage {
    try {
      for (;;) {
        const length = dbusLength(this.#received);
        if (length !== undefined && length <= this.#received.length) {
          const bytes = this.#received.slice(0, length);
          this.#received = this.#received.slice(length);
          return decodeDbus(bytes);
        }
        this.#more(what, deadline);
      }
    } catch (cause) {
      if (!(cause instanceof DbusFormatError)) throw cause;
      throw new DbusError(`${this.bus}: ${what}: no D-Bus message`, undefined, { cause });
    }
  }

  #keep(signal: DbusMessage): void {
    this.#signals.push(signal);
    if (this.#signals.length > MOST_SIGNALS) {
      throw new DbusError(`${this.bus}: it sends signals that nobody asked for`);
    }
  }

  #more(what: string, deadline: number): void {
    // A receive is bounded by the socket's timeout, all of them by the deadline.
    if (performance.now() > deadline) throw this.#late(what);
    const bytes = this.#told(what, () => this.kernel.call(streamReceive(this.fd, CHUNK_SIZE)));
    if (bytes.length === 0) throw new DbusError(`${this.bus}: ${what}: the bus hung up`);
    const whole = new Uint8Array(this.#received.length + bytes.length);
    whole.set(this.#received);
    whole.set(bytes, this.#received.length);
    this.#received = whole;
  }

  #send(bytes: Uint8Array, what: string): void {
    for (let at = 0; at < bytes.length;) {
      at += this.#told(what, () => this.kernel.call(streamSend(this.fd, bytes.subarray(at))));
    }
  }

  #deadline(ms: number): number {
    return performance.now() + ms;
  }

  #late(what: string, cause?: unknown): DbusError {
    return new DbusError(`${this.bus}: ${what}: no answer in time`, undefined, { cause });
  }

  #told<T>(what: string, work: () => T): T {
    try {
      return work();
    } catch (cause) {
      if (isSyscallError(cause, "EAGAIN")) throw this.#late(what, cause);
      if (!isSyscallError(cause) && !(cause instanceof RangeError)) throw cause;
      throw new DbusError(`${this.bus}: ${what}`, undefined, { cause });
    }
  }
}

/** The bus itself. */
const BUS = {
  destination: "org.freedesktop.DBus",
  path: "/org/freedesktop/DBus",
  interface: "org.freedesktop.DBus",
} as const;
