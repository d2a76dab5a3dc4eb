import { assert, assertEquals } from "@std/assert";
import { Host } from "../../ffi/host.ts";
import { close, read } from "../../ffi/syscalls/file.ts";
import {
  accept4,
  bind,
  DescriptorMessage,
  listen,
  SOCK,
  socket,
} from "../../ffi/syscalls/socket.ts";
import { POLL, ppoll } from "../../ffi/syscalls/event.ts";
import { until, type World } from "./world.ts";

const { thread } = new Host("/tmp");

/** Somebody who listens for a descriptor, as conmon and containerd's shim do for a terminal. */
export class Receiver implements Disposable {
  /** Where it listens. */
  readonly path: string;
  readonly #listening = thread.call(socket(SOCK.SOCK_STREAM));

  constructor(world: World) {
    this.path = `${world.dir}/receiver-${crypto.randomUUID().slice(0, 8)}`;
    thread.batch([bind(this.#listening, this.path), listen(this.#listening, 1)]);
  }

  /** What was sent: one descriptor, and a text. */
  take(): { fd: number; text: string } {
    ready(this.#listening);
    const connection = thread.call(accept4(this.#listening));
    ready(connection);
    const [fd, ...others] = thread.call(new DescriptorMessage(4).receive(connection));
    assert(fd !== undefined && others.length === 0);
    // The first byte of the text came with the descriptor.
    const rest = new TextDecoder().decode(thread.call(read(connection, 100)));
    assertEquals(thread.call(read(connection, 100)).length, 0, "nothing more, and the end");
    thread.call(close(connection));
    return { fd, text: rest };
  }

  /** Whether anybody has come. */
  called(): boolean {
    const [events] = thread.call(ppoll([{ fd: this.#listening, events: POLL.POLLIN }], 0));
    return events !== 0;
  }

  [Symbol.dispose](): void {
    thread.call(close(this.#listening));
  }
}

function ready(fd: number): void {
  const [events] = thread.call(ppoll([{ fd, events: POLL.POLLIN }], 10_000));
  assert(events !== 0, "nothing came in 10 s");
}

/** Reads from a master until the text has come. */
export async function expectOutput(master: number, pattern: RegExp): Promise<string> {
  let text = "";
  return await until(`${pattern}`, () => {
    const [events = 0] = thread.call(ppoll([{ fd: master, events: POLL.POLLIN }], 0));
    if ((events & POLL.POLLIN) !== 0) {
      text += new TextDecoder().decode(thread.call(read(master, 4096)));
    }
    return pattern.test(text) && text;
  });
}
