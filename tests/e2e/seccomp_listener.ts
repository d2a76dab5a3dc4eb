// Somebody who listens to a filter (a seccomp agent): takes the listener that belay sends, and answers for the kernel.
import { assert, assertEquals } from "@std/assert";
import { Struct } from "../../ffi/call.ts";
import { Host } from "../../ffi/host.ts";
import { POLL, ppoll } from "../../ffi/syscalls/event.ts";
import { close, ioctl, read } from "../../ffi/syscalls/file.ts";
import {
  accept4,
  bind,
  DescriptorMessage,
  listen,
  SOCK,
  socket,
} from "../../ffi/syscalls/socket.ts";
import { type AnySpec, until, type World } from "./world.ts";

const { thread } = new Host("/tmp");

/** ioctls of a listener, and struct seccomp_notif and seccomp_notif_resp (linux/seccomp.h). */
const SECCOMP_IOCTL_NOTIF_RECV = 0xc0502100;
const SECCOMP_IOCTL_NOTIF_SEND = 0xc0182101;
const NOTIF = { size: 80, id: 0, pid: 8, nr: 16, args: 32 } as const;
const RESPONSE = { size: 24, id: 0, value: 8, error: 16, flags: 20 } as const;

/** A system call that waits for an answer. */
export interface Notified {
  readonly id: bigint;
  readonly pid: number;
  readonly nr: number;
  readonly args: readonly bigint[];
}

/** Where listeners are sent to. */
export class Agent implements Disposable {
  readonly path: string;
  readonly #socket = thread.call(socket(SOCK.SOCK_STREAM));
  #open = true;

  constructor(world: World) {
    this.path = `${world.dir}/agent-${crypto.randomUUID().slice(0, 8)}`;
    thread.batch([bind(this.#socket, this.path), listen(this.#socket, 4)]);
  }

  /** What one connection brings: a listener, and the container process state. */
  async take(): Promise<{ listener: Listener; state: AnySpec }> {
    await readable(this.#socket, "a connection");
    const connection = thread.call(accept4(this.#socket));
    try {
      await readable(connection, "a message");
      const fds = thread.call(new DescriptorMessage(4).receive(connection));
      assertEquals(fds.length, 1, "one descriptor, in the first message");
      let text = "{"; // the byte that came with it
      for (;;) {
        await readable(connection, "the rest");
        const bytes = thread.call(read(connection, 0x4000));
        if (bytes.length === 0) break; // the connection is closed after one state
        text += new TextDecoder().decode(bytes);
      }
      return { listener: new Listener(fds[0] ?? -1), state: JSON.parse(text) };
    } finally {
      thread.call(close(connection));
    }
  }

  /** Whether anybody has come. */
  called(): boolean {
    const [events] = thread.call(ppoll([{ fd: this.#socket, events: POLL.POLLIN }], 0));
    return events !== 0;
  }

  /** Nobody listens any more; twice is harmless. */
  [Symbol.dispose](): void {
    if (this.#open) thread.call(close(this.#socket));
    this.#open = false;
  }
}

/** The listener of one filter. */
export class Listener implements Disposable {
  constructor(private readonly fd: number) {}

  /** The next call. */
  async next(): Promise<Notified> {
    await readable(this.fd, "a notified call");
    const notif = new Struct(NOTIF.size, [], true);
    thread.call(ioctl(this.fd, SECCOMP_IOCTL_NOTIF_RECV, notif));
    const view = notif.view();
    return {
      id: view.getBigUint64(NOTIF.id, true),
      pid: view.getUint32(NOTIF.pid, true),
      nr: view.getInt32(NOTIF.nr, true),
      args: Array.from({ length: 6 }, (_, i) => view.getBigUint64(NOTIF.args + i * 8, true)),
    };
  }

  /** Answers: an error number, a value, or that the kernel is to go on with it. */
  answer({ id }: Notified, what: { error?: number; value?: number; goOn?: true }): void {
    const fields = [
      [RESPONSE.id, 8, id],
      [RESPONSE.value, 8, what.value ?? 0],
      [RESPONSE.error, 4, -(what.error ?? 0)],
      [RESPONSE.flags, 4, what.goOn === true ? 1 : 0],
    ] as const;
    thread.call(ioctl(this.fd, SECCOMP_IOCTL_NOTIF_SEND, new Struct(RESPONSE.size, fields)));
  }

  /** Answers everything until nobody is left who could call. */
  async serve(decide: (asked: Notified) => Parameters<Listener["answer"]>[1]): Promise<void> {
    for (;;) {
      const events = await until("a notified call, or the end", () => {
        const [seen = 0] = thread.call(ppoll([{ fd: this.fd, events: POLL.POLLIN }], 0));
        return seen === 0 ? undefined : seen;
      });
      if ((events & POLL.POLLIN) === 0) return;
      const asked = await this.next();
      this.answer(asked, decide(asked));
    }
  }

  /** Waits until nobody is left who could call. */
  async ended(): Promise<void> {
    await until("the filter has no user any more", () => {
      const [events = 0] = thread.call(ppoll([{ fd: this.fd, events: 0 }], 0));
      return (events & POLL.POLLHUP) !== 0;
    });
  }

  [Symbol.dispose](): void {
    thread.call(close(this.fd));
  }
}

/** Waits without keeping the event loop: the one who is to come may need it. */
async function readable(fd: number, what: string): Promise<void> {
  const events = await until(what, () => {
    const [seen = 0] = thread.call(ppoll([{ fd, events: POLL.POLLIN }], 0));
    return seen === 0 ? undefined : seen;
  });
  assert((events & POLL.POLLIN) !== 0, `${what}: ${events}`);
}
