import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { Pidfd } from "../../ffi/pidfd.ts";
import { cancelReadable, waitReadable } from "../../ffi/readiness.ts";
import type { Remote } from "../../ffi/remote.ts";
import { SIGNAL } from "../../ffi/abi/signals.ts";
import { SyscallError } from "../../ffi/syscall_error.ts";
import { execve, exit_group, getpid } from "../../ffi/syscalls/process.ts";
import { close, pipe2, write } from "../../ffi/syscalls/file.ts";
import { host, openFds, thread, within, withStub } from "../ffi_world.ts";

const MINUTE = 60_000;

/** A stub of which only the process is left. */
function ended(status = 0): Pidfd {
  const stub = host.spawn("test");
  assertThrows(() => stub.call(exit_group(status)));
  stub[Symbol.dispose]();
  return stub.pidfd;
}

Deno.test("Pidfd.wait() resolves when the process ended before anyone waited", async () => {
  using pidfd = ended();
  pidfd.waitSync();
  await within(5000, "wait()", pidfd.wait());
  await within(5000, "a second wait()", pidfd.wait());
  pidfd.reap();
  await within(5000, "wait() after it was reaped", pidfd.wait());
});

Deno.test("Pidfd.reap() tells code or signal when the process has ended", () => {
  using exited = ended(7);
  assertEquals(exited.reap(), { pid: exited.pid, code: 7 });
  assertThrows(() => exited.reap(), SyscallError, "ECHILD");

  const stub = host.spawn("test");
  using killed = stub.pidfd;
  assert(killed.signal(SIGNAL.SIGKILL));
  assertEquals(killed.reap(), { pid: killed.pid, signal: 9 });
  stub[Symbol.dispose]();
});

Deno.test("Pidfd.signal() says false when the process is gone, and true for a zombie", () => {
  using pidfd = ended();
  pidfd.waitSync();
  assert(pidfd.signal(SIGNAL.SIGTERM)); // the kernel takes signals for zombies
  assert(!pidfd.alive());
  pidfd.reap();
  assert(!pidfd.signal(SIGNAL.SIGTERM));
  assert(!pidfd.alive());
});

Deno.test("Pidfd.alive() says true when the process runs, and waitSync() gives up in time", async () => {
  await withStub((stub) => {
    assert(stub.pidfd.alive());
    const start = performance.now();
    assert(!stub.pidfd.waitSync(50));
    assert(performance.now() - start >= 45);
  });
});

Deno.test("Pidfd.open() throws ESRCH when there is no such process", () => {
  using pidfd = ended();
  pidfd.reap();
  assertThrows(() => Pidfd.open(thread, pidfd.pid), SyscallError, "ESRCH");
});

Deno.test("Pidfd disposes once when it is disposed twice", () => {
  const pidfd = Pidfd.open(thread, thread.call(getpid()));
  pidfd[Symbol.dispose]();
  const { reader, writer } = thread.call(pipe2());
  assertEquals(reader, pidfd.fd); // the number is somebody else's now
  pidfd[Symbol.dispose]();
  thread.call(write(writer, "still open"));
  for (const fd of [reader, writer]) thread.call(close(fd));
});

Deno.test("Pidfd.wait() misses none when /bin/true runs 500 times", async () => {
  const before = openFds();
  const rounds = async () => {
    for (let i = 0; i < 500; i++) {
      const stub = host.spawn("true");
      using pidfd = stub.pidfd;
      stub.exec([execve("/bin/true", ["true"], [])]);
      if (i % 3 === 0) pidfd.waitSync(); // it ended before anyone waited
      await pidfd.wait();
      assertEquals(pidfd.reap().code, 0);
    }
  };
  await within(MINUTE, "500 times /bin/true", rounds());
  assertEquals(openFds(), before);
});

/** The threads of this process. */
function threads(): number {
  return [...Deno.readDirSync("/proc/self/task")].length;
}

Deno.test("Pidfd.wait() takes one thread when 200 processes are waited for", async () => {
  await withStub((stub) => {
    const first = stub.pidfd.wait();
    stub[Symbol.dispose]();
    return first; // the pool's first thread is there from now on
  });
  const before = openFds();
  const threadsBefore = threads();
  const stubs: Remote[] = Array.from({ length: 200 }, (_, i) => host.spawn(`many-${i}`));
  const order: number[] = [];
  const all = stubs.map((stub, i) => stub.pidfd.wait().then(() => order.push(i)));
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert(threads() <= threadsBefore + 1, `${threads() - threadsBefore} more threads`);
  assertEquals(order, []);
  for (const stub of stubs.toReversed()) stub[Symbol.dispose]();
  await within(10_000, "200 waits", Promise.all(all));
  assertEquals(order.length, 200);
  for (const { pidfd } of stubs) {
    pidfd.reap();
    pidfd[Symbol.dispose]();
  }
  assertEquals(openFds(), before);
});

Deno.test("cancelReadable() ends a wait when nothing has happened", async () => {
  const before = openFds();
  await withStub(async (stub) => {
    for (let i = 0; i < 20; i++) {
      const waiting = waitReadable(thread, stub.pidfd.fd);
      await assertRejects(() => waitReadable(thread, stub.pidfd.fd), Error, "waited for already");
      cancelReadable(thread, stub.pidfd.fd);
      cancelReadable(thread, stub.pidfd.fd); // harmless
      assertEquals(await within(5000, "cancelling", waiting), false);
    }
    const [{ reader, writer }, other] = [thread.call(pipe2()), stub.pidfd.wait()];
    const cancelled = waitReadable(thread, reader);
    cancelReadable(thread, reader);
    assertEquals(await within(5000, "cancelling", cancelled), false);
    const ready = waitReadable(thread, reader); // and again, with the other still waiting
    thread.call(write(writer, "x"));
    assertEquals(await within(5000, "the pipe", ready), true);
    stub[Symbol.dispose]();
    await within(5000, "the stub", other);
    for (const fd of [reader, writer]) thread.call(close(fd));
  });
  assertEquals(openFds(), before);
});

Deno.test("Pidfd.wait() works when it is called in a Worker", async () => {
  const worker = new Worker(new URL("./testdata/pidfd_worker.ts", import.meta.url), {
    type: "module",
  });
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  worker.onmessage = (event) => resolve(event.data);
  worker.onerror = (event) => reject(new Error(event.message));
  try {
    assertEquals(await within(20_000, "the Worker", promise), Array(10).fill(3));
  } finally {
    worker.terminate();
  }
});
