import { attempt } from "../call.ts";
import type { Kernel } from "../kernel.ts";
import { NLM_F, NLMSG } from "../abi/rtnetlink.ts";
import { isSyscallError, SyscallError } from "../syscall_error.ts";
import { close } from "../syscalls/file.ts";
import {
  type NetlinkDatagram,
  netlinkReceive,
  netlinkSend,
  netlinkSocket,
  receiveTimeout,
  wantStrict,
  wantWords,
} from "../syscalls/netlink.ts";
import { NetlinkFormatError } from "./attributes.ts";
import {
  decodeAnswer,
  decodeMessages,
  encodeMessage,
  type NetlinkMessage,
  type NetlinkRequest,
} from "./message.ts";

/** How long the kernel may take: it answers before sendto(2) returns, all but a dump's later parts. */
const ANSWER_TIMEOUT_MS = 5000;
/** Room for an answer that is no dump, and for a part of a dump: the kernel makes those at most 32 KiB long. */
const ANSWER_SIZE = 8192;
const DUMP_SIZE = 32768;
/** How often a dump is asked for again because what it lists changed meanwhile. */
const DUMP_TRIES = 50;

/** A request that the kernel refused. As a SyscallError its name is the request's; the message has the kernel's words. */
export class NetlinkError extends SyscallError {
  /** @param words What the kernel says in its own words, where it does. */
  constructor(request: NetlinkRequest, errno: number, readonly words: string | undefined) {
    super(request.text.split(" ")[0] ?? "", errno, request.text);
    if (words !== undefined) this.message += `: ${words}`;
  }
}

/**
 * A conversation with rtnetlink. The socket is in the network namespace of whoever opens it, and stays there; owned.
 * Every exchange is synchronous and bounded in time.
 */
export class NetlinkSocket implements Disposable {
  #sequence = 0;
  #open = true;

  /**
   * @param kernel Who makes the calls: a `NetnsWorker`, or a `Stub` that has entered a namespace; any, when the socket
   * is open already.
   * @param fd A socket of `netlinkSocket()`, taken over.
   */
  constructor(private readonly kernel: Kernel, readonly fd: number) {}

  /** Opens one where the kernel's thread is. @throws SyscallError */
  static open(kernel: Kernel): NetlinkSocket {
    const socket = new NetlinkSocket(kernel, kernel.call(netlinkSocket()));
    try {
      kernel.batch([
        receiveTimeout(socket.fd, ANSWER_TIMEOUT_MS),
        // Kernels that do not know these answer all the same: in numbers, and with more than was asked for.
        ...wantWords(socket.fd).map(attempt),
        attempt(wantStrict(socket.fd)),
      ]);
      return socket;
    } catch (error) {
      socket[Symbol.dispose]();
      throw error;
    }
  }

  /** Has something done. @throws NetlinkError */
  do(request: NetlinkRequest): void {
    this.#exchange(request, NLM_F.NLM_F_ACK);
  }

  /** Asks for one thing: the message that describes it. @throws NetlinkError */
  ask(request: NetlinkRequest): NetlinkMessage {
    const [first] = this.#exchange(request, NLM_F.NLM_F_ACK);
    if (first === undefined) throw new NetlinkFormatError(`${request.text}: no answer but a yes`);
    return first;
  }

  /**
   * Lists. Begun again when what it lists changed meanwhile (NLM_F_DUMP_INTR): such a list may lack what was there all
   * the time.
   * @throws NetlinkError
   */
  dump(request: NetlinkRequest): NetlinkMessage[] {
    for (let tries = 1;; tries++) {
      const interrupted = { yes: false };
      const found = this.#exchange(request, NLM_F.NLM_F_DUMP, interrupted);
      if (!interrupted.yes) return found;
      if (tries === DUMP_TRIES) {
        throw new Error(`${request.text}: what it lists changed each of ${tries} times`);
      }
    }
  }

  /** Closes; twice is harmless. */
  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    this.kernel.call(close(this.fd));
  }

  #exchange(
    request: NetlinkRequest,
    flags: number,
    interrupted?: { yes: boolean },
  ): NetlinkMessage[] {
    const isDump = interrupted !== undefined;
    const sequence = this.#sequence = (this.#sequence + 1) >>> 0 || 1;
    const sent = encodeMessage(
      { ...request, flags: request.flags | flags | NLM_F.NLM_F_REQUEST },
      sequence,
    );
    const size = isDump ? DUMP_SIZE : ANSWER_SIZE;
    let [, datagram] = this.#answered(
      request,
      () => this.kernel.batch([netlinkSend(this.fd, sent), netlinkReceive(this.fd, size)]),
    );
    const found: NetlinkMessage[] = [];
    for (;;) {
      for (const message of this.#messages(request, datagram, size)) {
        if (message.sequence !== sequence) continue; // of an exchange that was given up
        if (isDump && (message.flags & NLM_F.NLM_F_DUMP_INTR) !== 0) interrupted.yes = true;
        if (message.type === NLMSG.NLMSG_NOOP) continue;
        if (message.type !== NLMSG.NLMSG_ERROR && message.type !== NLMSG.NLMSG_DONE) {
          found.push(message);
          continue;
        }
        const { errno, words } = decodeAnswer(message);
        if (errno !== 0) throw new NetlinkError(request, errno, words);
        return found;
      }
      datagram = this.#answered(request, () => this.kernel.call(netlinkReceive(this.fd, size)));
    }
  }

  #answered<T>(request: NetlinkRequest, exchange: () => T): T {
    try {
      return exchange();
    } catch (error) {
      if (!isSyscallError(error, "EAGAIN")) throw error;
      const what = `${request.text}: no answer in ${ANSWER_TIMEOUT_MS} ms`;
      throw new Error(what, { cause: error });
    }
  }

  #messages(request: NetlinkRequest, datagram: NetlinkDatagram, size: number): NetlinkMessage[] {
    if (datagram.port !== 0) return []; // any process may write to a netlink socket; only port 0 is the kernel
    if (datagram.length > size) {
      throw new NetlinkFormatError(`${request.text}: an answer of ${datagram.length} bytes`);
    }
    return decodeMessages(datagram.bytes);
  }
}
