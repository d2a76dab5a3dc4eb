// Sockets that commands send descriptors to, and somebody who lets go of them when he is told to.
import { Thread } from "../../ffi/thread.ts";
import { attempt } from "../../ffi/call.ts";
import { POLL, ppoll } from "../../ffi/syscalls/event.ts";
import { close, unlinkat } from "../../ffi/syscalls/file.ts";
import { accept4, bind, listen, SOCK, socket } from "../../ffi/syscalls/socket.ts";
import { AT_FDCWD } from "../../ffi/abi/file_flags.ts";

/** More callers than one point has. */
const ROOM = 16;

/**
 * A socket that nobody reads: what is sent there waits in its queue, and so do a terminal or a process that it holds,
 * until `empty()`. So nothing of what a command does depends on how soon somebody else has read it.
 */
export class Mailbox {
  readonly #thread = new Thread();
  readonly #fd;

  /** @param path Where it is made, in the place of what is there. */
  constructor(readonly path: string) {
    this.#fd = this.#thread.call(socket(SOCK.SOCK_STREAM));
    this.#thread.call(attempt(unlinkat(AT_FDCWD, path)));
    this.#thread.batch([bind(this.#fd, path), listen(this.#fd, ROOM)]);
  }

  /** Lets go of everything; how many callers there were. */
  empty(): number {
    for (let callers = 0;; callers++) {
      const [events = 0] = this.#thread.call(ppoll([{ fd: this.#fd, events: POLL.POLLIN }], 0));
      if (events === 0) return callers;
      this.#thread.call(close(this.#thread.call(accept4(this.#fd))));
    }
  }
}
