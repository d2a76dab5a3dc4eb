// The carriers for tests, and what they have in common. Libraries are loaded here, once: Deno's resource sanitizer
// takes a library that is loaded inside a test, and kept, for a leak.
import { Host } from "../ffi/host.ts";
import type { Kernel } from "../ffi/kernel.ts";
import type { Remote } from "../ffi/remote.ts";

/** Real carriers. */
export const host = new Host("/tmp");
/** This thread. */
export const thread: Kernel = host.thread;

await warmUp();

/** Starts a stub and waits until it has ended. */
async function warmUp(): Promise<void> {
  const stub = host.spawn("warm-up");
  const ended = stub.pidfd.wait();
  stub[Symbol.dispose]();
  await ended;
  stub.pidfd.reap();
  stub.pidfd[Symbol.dispose]();
}

/** Does something with a stub, and leaves neither process nor descriptor behind. */
export async function withStub<T>(
  use: (stub: Remote) => T | Promise<T>,
  name = "test",
): Promise<T> {
  const stub = host.spawn(name);
  try {
    return await use(stub);
  } finally {
    stub[Symbol.dispose]();
    stub.pidfd.reap();
    stub.pidfd[Symbol.dispose]();
  }
}

/** The numbers of this process's descriptors. */
export function openFds(): string[] {
  return [...Deno.readDirSync("/proc/self/fd")].map((entry) => entry.name).sort();
}

/** Fails when something takes longer, instead of hanging for ever. */
export async function within<T>(ms: number, what: string, work: Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`${what} took more than ${ms} ms`)), ms);
  try {
    return await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
  }
}
