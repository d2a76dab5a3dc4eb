import { attempt } from "./call.ts";
import type { Kernel } from "./kernel.ts";
import {
  EPOLL,
  epoll_create1,
  EPOLL_CTL,
  epoll_ctl,
  EPOLL_EVENT,
  eventfd2,
} from "./syscalls/event.ts";
import { close, read, write } from "./syscalls/file.ts";
import { syscallNumber } from "./abi/syscall_numbers.ts";
import { addressOf, syscallElsewhere } from "./libc.ts";

const EVENTS = 64;

/** A waiter: what to do when its descriptor is ready, and when the loop broke. */
interface Waiter {
  readonly resolve: (ready: boolean) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * One epoll instance for everything that this thread waits for, and at most one thread of the blocking pool that sits
 * in epoll_pwait(2) (32 such threads is all that a Deno runtime has). It exists while somebody waits.
 */
class Readiness {
  readonly #waiters = new Map<number, Waiter>();
  #epoll: number | undefined;
  #wake: number | undefined;
  #loop: Promise<void> | undefined;

  /** True when the descriptor can be read or its other end is gone, false when `cancel` came first. */
  async wait(kernel: Kernel, fd: number): Promise<boolean> {
    if (this.#waiters.has(fd)) throw new Error(`descriptor ${fd} is waited for already`);
    const { promise, resolve, reject } = Promise.withResolvers<boolean>();
    const epoll = this.#start(kernel);
    try {
      kernel.call(epoll_ctl(epoll, EPOLL_CTL.EPOLL_CTL_ADD, fd, EPOLL.EPOLLIN));
    } catch (error) {
      if (this.#loop === undefined) this.#stop(kernel);
      throw error;
    }
    this.#waiters.set(fd, { resolve, reject });
    this.#loop ??= this.#run(kernel, epoll);
    const ready = await promise;
    if (this.#waiters.size === 0) await this.#loop;
    return ready;
  }

  /** Ends the wait for a descriptor, if there is one. */
  cancel(kernel: Kernel, fd: number): void {
    const waiter = this.#waiters.get(fd);
    if (waiter === undefined || this.#epoll === undefined || this.#wake === undefined) return;
    this.#waiters.delete(fd);
    waiter.resolve(false);
    const wake = new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]);
    const [removed, woken] = kernel.batch([
      attempt(epoll_ctl(this.#epoll, EPOLL_CTL.EPOLL_CTL_DEL, fd, 0)),
      attempt(write(this.#wake, wake)),
    ]);
    // Whoever waits would never hear of it: nothing else wakes the loop.
    if (woken instanceof Error) kernel.call(write(this.#wake, wake));
    if (removed instanceof Error) throw removed;
  }

  #start(kernel: Kernel): number {
    if (this.#epoll !== undefined) return this.#epoll;
    try {
      this.#epoll = kernel.call(epoll_create1());
      this.#wake = kernel.call(eventfd2());
      kernel.call(epoll_ctl(this.#epoll, EPOLL_CTL.EPOLL_CTL_ADD, this.#wake, EPOLL.EPOLLIN));
      return this.#epoll;
    } catch (error) {
      this.#stop(kernel); // half of it would let nobody be woken
      throw error;
    }
  }

  #stop(kernel: Kernel): void {
    for (const fd of [this.#epoll, this.#wake]) if (fd !== undefined) kernel.call(close(fd));
    this.#epoll = this.#wake = this.#loop = undefined;
  }

  async #run(kernel: Kernel, epoll: number): Promise<void> {
    const buffer = new ArrayBuffer(EPOLL_EVENT.size * EVENTS);
    const address = addressOf(buffer);
    const view = new DataView(buffer);
    try {
      while (this.#waiters.size > 0) {
        // -1 is EINTR: nothing else can go wrong with an epoll descriptor and a buffer of ours.
        const count = await syscallElsewhere(
          syscallNumber("epoll_pwait"),
          ...[BigInt(epoll), address, BigInt(EVENTS), -1n, 0n, 8n],
        );
        for (let i = 0; i < count; i++) this.#ready(kernel, epoll, view, i);
      }
    } catch (error) {
      for (const waiter of this.#waiters.values()) waiter.reject(error); // nobody else would ever tell them
      this.#waiters.clear();
    } finally {
      // In the same turn in which nobody waited: whoever comes later starts anew, and is not forgotten.
      this.#stop(kernel);
    }
  }

  /** One event. */
  #ready(kernel: Kernel, epoll: number, events: DataView, index: number): void {
    const fd = events.getInt32(index * EPOLL_EVENT.size + EPOLL_EVENT.data, true);
    if (fd === this.#wake) {
      kernel.call(read(fd, 8));
      return;
    }
    const waiter = this.#waiters.get(fd);
    if (waiter === undefined) return; // cancelled after the kernel had reported it
    kernel.call(epoll_ctl(epoll, EPOLL_CTL.EPOLL_CTL_DEL, fd, 0));
    this.#waiters.delete(fd);
    waiter.resolve(true);
  }
}

const readiness = new Readiness();

/**
 * True when a descriptor can be read or its other end is gone (for a pidfd: when the process has ended), false when
 * `cancelReadable` ended the wait. All waiters of a thread share one epoll loop.
 */
export function waitReadable(kernel: Kernel, fd: number): Promise<boolean> {
  return readiness.wait(kernel, fd);
}

/** Ends a `waitReadable`, before its descriptor is closed. Harmless when nobody waits. */
export function cancelReadable(kernel: Kernel, fd: number): void {
  readiness.cancel(kernel, fd);
}
