import { type Arg, type Call, Loaded, out } from "./call.ts";
import { type Kernel, type Results, settle } from "./kernel.ts";
import type { Remote, SentBeforeExec } from "./remote.ts";
import { Pidfd } from "./pidfd.ts";
import { RequestBuffer, resolved } from "./request.ts";
import { NEXT_ADOPT, STUB_OVERFLOW_ADDRESS } from "./stub/protocol.ts";
import { type Observer, observer, unobserved } from "./observer.ts";
import { addressOf } from "./libc.ts";
import {
  allReceived,
  DescriptorMessage,
  peek,
  recvfrom,
  sendto,
  SOCK,
  socketpair,
} from "./syscalls/socket.ts";
import { close, fcntl, memfd_create, write } from "./syscalls/file.ts";
import { clone3, type CloneArgs } from "./syscalls/process.ts";
import { clock_gettime, mmap, nanoseconds } from "./syscalls/memory.ts";
import { POLL, ppoll } from "./syscalls/event.ts";
import { F, MFD } from "./abi/file_flags.ts";
import { CLONE } from "./abi/process_flags.ts";
import { SIGNAL } from "./abi/signals.ts";
import { isSyscallError } from "./syscall_error.ts";

/** The stub has ended where an answer was expected: something killed it. */
export class StubGone extends Error {
  override readonly name = "StubGone";
}

/** One for the thread: requests are written and answered one at a time. */
const buffer = new RequestBuffer();
let bufferAddress: bigint | undefined;

/** A conversation with a stub, over a SOCK_SEQPACKET socket. */
export class Stub implements Remote {
  #socket: number | undefined;

  /**
   * @param name A label for traces: `stub`, `init`, `hook`.
   * @param fd The driver's end of the conversation; owned.
   * @param served The descriptor that the stub reads, in its own table.
   */
  constructor(
    private readonly kernel: Kernel,
    readonly name: string,
    fd: number,
    private served: number,
    readonly pidfd: Pidfd,
  ) {
    this.#socket = fd;
  }

  /** @inheritdoc */
  call<R>(made: Call<R>): R {
    return this.batch([made])[0] as R;
  }

  /** @inheritdoc */
  batch<const T extends readonly Call<unknown>[]>(calls: T): Results<T> {
    if (calls.length === 0) return [] as Results<T>; // the stub's loop runs at least once
    return this.#made(calls) as Results<T>;
  }

  /** The results of a batch that something may have to follow on the socket. */
  #made(calls: readonly Call<unknown>[], followUp?: () => void): unknown[] {
    const watching = observer();
    if (watching !== undefined) return this.#observed(calls, watching, followUp);
    this.#plainly(calls, followUp);
    return this.#settle(calls);
  }

  /** @inheritdoc */
  exec(calls: readonly Call<unknown>[], sent?: SentBeforeExec): void {
    const last = calls.at(-1);
    if (last?.name !== "execve") throw new Error("a batch for exec() must end in execve");
    const sending = sent === undefined ? [] : [
      new DescriptorMessage(sent.fds).send(this.served),
      ...(sent.closes ? sent.fds.map((fd) => close(fd)) : []),
    ];
    const all = [...calls.slice(0, -1), ...sending, last];
    const take = sent && (() => {
      const fds: number[] = [];
      this.#receiveDescriptors(sent.fds.length, fds);
      if (fds.length > 0) sent.take(fds);
    });
    const watching = observer();
    if (watching === undefined) this.#execute(all, take);
    else {
      // A filter may forbid the stub to answer: from there on one request, and one time for all of it.
      const filter = calls.findIndex(({ name }) => name === "seccomp");
      const rest = filter < 0 ? all.length - 1 : filter;
      this.#observed(all.slice(0, rest), watching);
      this.#observedLast(all.slice(rest), watching, () => this.#execute(all.slice(rest), take));
    }
    this[Symbol.dispose]();
  }

  #execute(calls: readonly Call<unknown>[], followUp?: () => void): void {
    this.#send(calls);
    followUp?.();
    // End of file: the socket was closed by execve. An answer: some call failed, settle() throws.
    if (this.#answer() > 0) {
      this.#settle(calls);
      throw new Error("execve answered without an error");
    }
  }

  /** @inheritdoc */
  leaveIn(accept: Call<number>): void {
    accept.next = NEXT_ADOPT;
    this.#unanswered([accept]);
    this[Symbol.dispose]();
  }

  /** @inheritdoc */
  atEnd(calls: readonly Call<unknown>[]): void {
    // At the end of the conversation there is nothing to be read, and it returns.
    this.#unanswered([peek(this.served), ...calls]);
  }

  #unanswered(calls: readonly Call<unknown>[]): void {
    const watching = observer();
    if (watching === undefined) this.#send(calls);
    else this.#observedLast(calls, watching, () => this.#send(calls));
  }

  /**
   * Takes over a stub that was left in accept4: its answer to that call is the first thing on the new connection,
   * and tells which descriptor it serves from now on.
   */
  static adopt(kernel: Kernel, name: string, fd: number, pidfd: Pidfd): Stub {
    const stub = new Stub(kernel, name, fd, 0, pidfd);
    stub.#receive();
    stub.served = buffer.read(0);
    return stub;
  }

  /** @inheritdoc */
  cloneIdle(args: Omit<CloneArgs, "pidfd">, waiting: number): Pidfd {
    const message = new DescriptorMessage(1); // clone3 writes the descriptor into it
    const cloned = clone3({
      ...args,
      flags: Number(BigInt(args.flags) | BigInt(CLONE.CLONE_PIDFD)),
      pidfd: message.slot(0),
    });
    cloned.next = BigInt(waiting); // its answer to clone3 goes there, and nobody reads it
    const sent = message.send(this.served);
    const { results: [pid], fds: [fd] } = this.#batchThatSends(1, [
      ...[cloned, sent, close(new Loaded(message.slot(0)))] as const,
    ]);
    if (fd === undefined) throw new StubGone(`${this.name}: no pidfd came for its child`);
    return new Pidfd(this.kernel, fd, pid);
  }

  /** @inheritdoc */
  clone(name: string, args: Omit<CloneArgs, "pidfd">): Remote {
    const [mine, its] = this.kernel.call(socketpair(SOCK.SOCK_SEQPACKET));
    try {
      // While its end is open here, its death is no end of file to us.
      const there = this.#giveAway(its);
      const message = new DescriptorMessage(1); // clone3 writes the descriptor into it
      const cloned = clone3({
        ...args,
        // Numbers past 32 bits (CLONE_INTO_CGROUP): JavaScript's | would cut them.
        flags: Number(BigInt(args.flags) | BigInt(CLONE.CLONE_PIDFD)),
        pidfd: message.slot(0),
      });
      cloned.next = BigInt(there);
      const sent = message.send(this.served);
      const { results: [pid], fds: [fd] } = this.#batchThatSends(1, [
        cloned,
        sent,
        close(new Loaded(message.slot(0))),
        close(there),
      ]);
      if (fd === undefined) throw new StubGone(`${this.name}: no pidfd came for ${name}`);
      const child = new Stub(this.kernel, name, mine, there, new Pidfd(this.kernel, fd, pid));
      try {
        child.#receive(); // the child's own answer to clone3
        // While it had our socket to its parent, the parent's death was no end of file to us.
        child.call(close(this.served));
      } catch (error) {
        child.pidfd.signal(SIGNAL.SIGKILL);
        // Otherwise it is this stub's to reap.
        if ((BigInt(args.flags) & BigInt(CLONE.CLONE_PARENT)) !== 0n) child.pidfd.reap();
        child.pidfd[Symbol.dispose]();
        throw error;
      }
      return child;
    } catch (error) {
      this.kernel.call(close(mine));
      throw error;
    }
  }

  #giveAway(fd: number): number {
    try {
      return this.give([fd])[0] as number;
    } finally {
      this.kernel.call(close(fd));
    }
  }

  /** @inheritdoc */
  give(fds: readonly number[]): number[] {
    const message = new DescriptorMessage(fds.length);
    const received = message.receive(this.served);
    const send = () => {
      this.#orGone(() => this.kernel.call(new DescriptorMessage(fds).send(this.#fd())));
    };
    const [there] = this.#made([received], send);
    return allReceived(fds.length, there as number[], this.name);
  }

  /** @inheritdoc */
  take(fds: readonly number[]): number[] {
    const sent = new DescriptorMessage(fds).send(this.served);
    const { fds: taken } = this.#batchThatSends(fds.length, [sent]);
    return this.#orClose(taken, () => allReceived(fds.length, taken, "belay"));
  }

  /** @inheritdoc */
  moveAbove(least: number): void {
    const moved = fcntl(this.served, F.F_DUPFD_CLOEXEC, least);
    moved.next = NEXT_ADOPT;
    const [fd] = this.batch([moved, close(this.served)]);
    this.served = fd;
  }

  /** @inheritdoc */
  [Symbol.dispose](): void {
    if (this.#socket === undefined) return;
    const fd = this.#socket;
    this.#socket = undefined;
    this.kernel.call(close(fd));
  }

  #fd(): number {
    if (this.#socket === undefined) throw new StubGone(`${this.name} was let go`);
    return this.#socket;
  }

  /** A batch in which the stub sends descriptors: they arrive before its answer. */
  #batchThatSends<const T extends readonly Call<unknown>[]>(
    count: number,
    calls: T,
  ): { results: Results<T>; fds: number[] } {
    const fds: number[] = [];
    const receive = () => {
      this.#receiveDescriptors(count, fds);
      this.#awaitMessage();
    };
    const results = this.#orClose(fds, () => this.#made(calls, receive));
    return { results: results as Results<T>, fds };
  }

  /**
   * Waits for the message in which descriptors come. One byte is that message, anything longer the answer to a batch
   * that failed before it.
   */
  #receiveDescriptors(count: number, fds: number[]): void {
    this.#awaitMessage();
    const length = unobserved(() => this.kernel.call(peek(this.#fd())));
    if (length === 1) {
      fds.push(...this.kernel.call(new DescriptorMessage(count).receive(this.#fd())));
    }
  }

  /** A clone of the stub may hold the socket open: its death is seen at the pidfd alone. */
  #awaitMessage(): void {
    const wanted = [this.#fd(), this.pidfd.fd].map((fd) => ({ fd, events: POLL.POLLIN }));
    const [ready = 0] = unobserved(() => this.kernel.call(ppoll(wanted)));
    if (ready === 0) throw this.#gone();
  }

  /** Descriptors that have arrived are nobody's when the rest of their batch fails. */
  #orClose<T>(fds: readonly number[], step: () => T): T {
    try {
      return step();
    } catch (error) {
      for (const fd of fds) this.kernel.call(close(fd));
      throw error;
    }
  }

  #send(calls: readonly Call<unknown>[]): void {
    const { length, overflow } = buffer.write(calls, Deno.build.arch);
    if (overflow !== undefined) {
      this.#sendOverflow(overflow);
      buffer.write(calls, Deno.build.arch); // the mapping's own request went through the same buffer
    }
    bufferAddress ??= addressOf(buffer.arena.buffer);
    const address = bufferAddress;
    this.#orGone(() => unobserved(() => this.kernel.call(sendto(this.#fd(), address, length))));
  }

  /** Sends something to the stub. @throws StubGone when nobody is there. */
  #orGone(send: () => void): void {
    try {
      send();
    } catch (error) {
      if (isSyscallError(error, "EPIPE", "ECONNRESET")) throw this.#gone({ cause: error });
      throw error;
    }
  }

  /** Maps what does not fit into a request at a fixed address of the stub, from a memfd. */
  #sendOverflow(content: Uint8Array): void {
    const bytes = content.slice();
    unobserved(() => {
      const memfd = this.kernel.call(memfd_create("belay-request", MFD.MFD_CLOEXEC));
      try {
        for (let at = 0; at < bytes.length;) {
          at += this.kernel.call(write(memfd, bytes.subarray(at, at + 0x100000)));
        }
        const [there = -1] = this.give([memfd]);
        this.batch([mmap(STUB_OVERFLOW_ADDRESS, bytes.length, there), close(there)]);
      } finally {
        this.kernel.call(close(memfd));
      }
    });
  }

  /** The length of the stub's answer; 0 when the stub is gone. */
  #answer(): number {
    bufferAddress ??= addressOf(buffer.arena.buffer);
    try {
      return unobserved(() =>
        this.kernel.call(recvfrom(this.#fd(), bufferAddress ?? 0n, buffer.arena.bytes.length))
      );
    } catch (error) {
      if (isSyscallError(error, "ECONNRESET")) return 0; // it ended with a request of ours unread
      throw error;
    }
  }

  #receive(): void {
    if (this.#answer() === 0) throw this.#gone();
  }

  #gone(options?: ErrorOptions): StubGone {
    return new StubGone(`${this.name} (process ${this.pidfd.pid}) was killed`, options);
  }

  #settle(calls: readonly Call<unknown>[]): unknown[] {
    return calls.map((made, index) => settle(made, buffer.read(index)));
  }

  /** One call at a time, each between two readings of the clock in the stub itself. */
  #observed(calls: readonly Call<unknown>[], watching: Observer, send?: () => void): unknown[] {
    const results = new Map<Arg, number>();
    return calls.map((made) => {
      const executor = { name: this.name, pid: this.pidfd.pid };
      const errno = watching.before(made, executor);
      const [start, end] = [out(16), out(16)];
      const alone = errno === undefined ? resolved(made, results) : undefined;
      let raw = -(errno ?? 0);
      if (alone !== undefined) {
        alone.onFailure = { kind: "attempt" }; // the second clock must run, too
        const timed = [clock_gettime(start), alone, clock_gettime(end)];
        this.#plainly(timed, send);
        raw = buffer.read(1);
      } else this.#plainly([clock_gettime(start), clock_gettime(end)]);
      watching.after(made, executor, raw, nanoseconds(start), nanoseconds(end));
      results.set(made as Call<number>, raw);
      return settle(made, raw);
    });
  }

  /** Calls of which the last does not come back to this driver: one request, of which one time is known. */
  #observedLast(calls: readonly Call<unknown>[], watching: Observer, execute: () => void): void {
    const executor = { name: this.name, pid: this.pidfd.pid };
    const start = out(16);
    const errnos = calls.map((made) => watching.before(made, executor));
    this.#plainly([clock_gettime(start)]);
    const failed = errnos.findIndex((errno) => errno !== undefined);
    if (failed < 0) execute();
    calls.slice(0, failed < 0 ? calls.length : failed + 1).forEach((made, i) => {
      const result = errnos[i] === undefined ? undefined : -errnos[i];
      watching.after(made, executor, result, nanoseconds(start), nanoseconds(start));
      if (result !== undefined) settle(made, result);
    });
  }

  /**
   * Sends a batch, and whatever must follow it on the socket, and takes the answer.
   * Out-buffers are filled, results are not looked at.
   */
  #plainly(calls: readonly Call<unknown>[], followUp?: () => void): void {
    this.#send(calls);
    followUp?.();
    this.#receive();
    buffer.collect();
  }
}
