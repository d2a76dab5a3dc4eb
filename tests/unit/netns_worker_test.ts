// Most of these need root: entering a network namespace does. Nothing here touches a published namespace of the machine.
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { attempt, call, Loaded, out, Place } from "../../ffi/call.ts";
import { PinnedThread, PinnedThreadError, WrongNamespaceError } from "../../ffi/pinned_thread.ts";
import { interruptBySignal } from "../../ffi/libc.ts";
import { SyscallError } from "../../ffi/syscall_error.ts";
import { observe, type Observer } from "../../ffi/observer.ts";
import { AT_FDCWD, O } from "../../ffi/abi/file_flags.ts";
import { SIGNAL } from "../../ffi/abi/signals.ts";
import { CLONE } from "../../ffi/abi/process_flags.ts";
import { close, openat, pipe2, read, readlinkat, statx } from "../../ffi/syscalls/file.ts";
import { setns } from "../../ffi/syscalls/namespace.ts";
import { getpid } from "../../ffi/syscalls/process.ts";
import { NetnsWorker } from "../../runtime/netns/netns_worker.ts";
import { ValidationError } from "../../runtime/spec/validation_error.ts";
import { openFds, thread, within, withStub } from "../ffi_world.ts";
import { notRoot, testUnless } from "../skip.ts";

const LINK = "/proc/thread-self/ns/net";
/** Deno opens some descriptors at its first Worker, and keeps them. */
const warm = Deno.uid() === 0 ? await NetnsWorker.enter(thread, "new") : undefined;
await warm?.[Symbol.asyncDispose]();
interruptBySignal("SIGURG", SIGNAL.SIGURG, () => {});

const own = Deno.readLinkSync(LINK);

/** Numbers of the threads of this process. */
function threads(): string[] {
  return [...Deno.readDirSync("/proc/self/task")].map(({ name }) => name).sort();
}

/** What this process's descriptors lead to: a Worker's own come and go under other numbers. */
function descriptors(): string[] {
  return openFds().flatMap((fd) => {
    try {
      return [Deno.readLinkSync(`/proc/self/fd/${fd}`).replace(/\d+/g, "N")];
    } catch {
      return []; // the one that read the directory
    }
  }).sort();
}

/** Fails unless everything that was opened is closed; Deno closes a Worker's own some time after its end. */
async function assertClosed(before: readonly string[]): Promise<void> {
  for (let i = 0; i < 500 && `${descriptors()}` !== `${before}`; i++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assertEquals(descriptors(), before);
}

/** Whether any thread of this process is in the namespace. */
function inhabited(inode: number): boolean {
  return threads().some((tid) => {
    try {
      return Deno.readLinkSync(`/proc/self/task/${tid}/ns/net`) === `net:[${inode}]`;
    } catch {
      return false; // it has ended
    }
  });
}

testUnless(
  notRoot(),
  "NetnsWorker works in a new namespace when none is given, and leaves",
  async () => {
    const before = descriptors();
    let inode = 0;
    {
      await using worker = await NetnsWorker.enter(thread, "new");
      inode = worker.inode;
      assertEquals(worker.call(readlinkat(AT_FDCWD, LINK)), `net:[${inode}]`);
      assert(`net:[${inode}]` !== own);
      assertEquals(Deno.readLinkSync(LINK), own, "the caller's thread stays where it was");
      assert(inhabited(inode));
    }
    assert(!inhabited(inode));
    await assertClosed(before);
  },
);

testUnless(
  notRoot(),
  "NetnsWorker enters by fd and by pidfd when somebody else made the namespace",
  async () => {
    const before = descriptors();
    await using made = await NetnsWorker.enter(thread, "new");
    const fd = made.openNamespace();
    {
      await using worker = await NetnsWorker.enter(thread, { fd });
      assertEquals(worker.inode, made.inode);
      assertEquals(worker.call(readlinkat(AT_FDCWD, LINK)), `net:[${made.inode}]`);
    }
    await withStub(async (stub) => {
      const [there = -1] = stub.give([fd]);
      stub.batch([setns(there, CLONE.CLONE_NEWNET), close(there)]);
      await using worker = await NetnsWorker.enter(thread, { pidfd: stub.pidfd });
      assertEquals(worker.inode, made.inode);
    });
    thread.call(close(fd));
    await made[Symbol.asyncDispose]();
    await assertClosed(before);
  },
);

testUnless(notRoot(), "NetnsWorker enters by name when a directory has one", async () => {
  // Any directory with namespaces in it will do; this one has the test's own.
  const byName = { name: "net", directory: "/proc/self/ns" };
  await using worker = await NetnsWorker.enter(thread, byName);
  assertEquals(`net:[${worker.inode}]`, own);
});

testUnless(
  notRoot(),
  "NetnsWorker.enter() throws when the target is not a network namespace",
  async () => {
    const before = descriptors();
    const fd = thread.call(openat(AT_FDCWD, "/proc/self/ns/uts", O.O_RDONLY));
    const error = await assertRejects(() => NetnsWorker.enter(thread, { fd }), SyscallError);
    assert(error.message.includes(`setns(${fd}, CLONE_NEWNET): invalid argument`), error.message);
    thread.call(close(fd));
    const directory = await Deno.makeTempDir();
    await Deno.writeTextFile(`${directory}/plain`, "");
    const plain = { name: "plain", directory };
    await assertRejects(() => NetnsWorker.enter(thread, plain), SyscallError, "EINVAL");
    const absent = { name: "absent", directory };
    await assertRejects(() => NetnsWorker.enter(thread, absent), SyscallError, "ENOENT");
    for (const name of ["", ".", "..", "../x", "a/b"]) {
      await assertRejects(() => NetnsWorker.enter(thread, { name }), ValidationError, "no name");
    }
    await Deno.remove(directory, { recursive: true });
    await assertClosed(before);
  },
);

testUnless(
  notRoot(),
  "NetnsWorker makes a batch in order when calls name earlier results",
  async () => {
    await using worker = await NetnsWorker.enter(thread, "new");
    const opened = openat(AT_FDCWD, "/proc/thread-self/comm", O.O_RDONLY);
    const [, bytes] = worker.batch([opened, read(opened, 64), close(opened)]);
    assert(bytes.length > 0);
    const failing = openat(AT_FDCWD, "/proc/self/status", O.O_RDONLY);
    assertThrows(
      () => worker.batch([failing, openat(AT_FDCWD, "/absent", 0), getpid(), close(failing)]),
      SyscallError,
      'openat(AT_FDCWD, "/absent"',
    );
    const left = openFds().map((fd) =>
      worker.call(attempt(readlinkat(AT_FDCWD, `/proc/self/fd/${fd}`)))
    );
    assert(
      !left.includes(`/proc/${Deno.pid}/status`),
      "what a batch opened and meant to close is closed",
    );
    const [error, pid] = worker.batch([attempt(openat(AT_FDCWD, "/absent", 0)), getpid()]);
    assert(error instanceof SyscallError && error.is("ENOENT"));
    assertEquals(pid, Deno.pid);
    assertThrows(() => worker.call(close(call("getpid"))), Error, "no earlier call of its batch");
    assertEquals(worker.call(getpid()), Deno.pid, "and it still serves");
  },
);

testUnless(notRoot(), "NetnsWorker shows its calls to the observer when there is one", async () => {
  await using worker = await NetnsWorker.enter(thread, "new");
  const seen: string[] = [];
  const watching: Observer = {
    before: (made, { name }) => {
      seen.push(`${name}: ${made.name}`);
      return made.name === "statx" ? 5 : undefined;
    },
    after: (made, _, result, start, end) => {
      seen.push(`${made.name} = ${result === Deno.pid ? "pid" : result}`);
      assert(start > 0n && end >= start);
    },
  };
  observe(watching);
  try {
    worker.call(getpid());
    assertThrows(() => worker.call(statx(AT_FDCWD, "/", 0)), SyscallError, "EIO");
  } finally {
    observe(undefined);
  }
  const name = "netns a new network namespace";
  assertEquals(seen, [`${name}: getpid`, "getpid = pid", `${name}: statx`, "statx = -5"]);
});

testUnless(
  notRoot(),
  "NetnsWorker throws and names both namespaces when its thread is in another",
  async () => {
    await using other = await NetnsWorker.enter(thread, "new");
    await using worker = await NetnsWorker.enter(thread, "new");
    const fd = other.openNamespace();
    const error = assertThrows(
      () => worker.call(setns(fd, CLONE.CLONE_NEWNET)),
      WrongNamespaceError,
    );
    assert(error.message.includes(`${worker.inode}`) && error.message.includes(`${other.inode}`));
    assertThrows(() => worker.call(getpid()), WrongNamespaceError, `${other.inode}`);
    thread.call(close(fd));
    const inode = worker.inode;
    await worker[Symbol.asyncDispose]();
    assert(!inhabited(inode));
  },
);

testUnless(
  notRoot(),
  "PinnedThread.start() throws when the namespace is not the one expected",
  async () => {
    const start = () => PinnedThread.start(thread, { label: "test", enter: "new", inode: 4711 });
    const error = await assertRejects(start, WrongNamespaceError, "4711");
    assert(!inhabited(error.actual));
  },
);

testUnless(
  notRoot(),
  "NetnsWorker throws in bounded time, and its namespace is released, when a call hangs",
  async () => {
    const before = descriptors();
    const { reader, writer } = thread.call(pipe2());
    const worker = await NetnsWorker.enter(thread, "new", { timeoutMs: 100 });
    const { inode } = worker;
    // A pipe that nobody writes to: read(2) is one of the calls that SA_RESTART would begin again.
    assertThrows(
      () => worker.call(read(reader, 1)),
      PinnedThreadError,
      "no answer to read in 100 ms",
    );
    assertThrows(() => worker.call(getpid()), PinnedThreadError, "no answer to read in 100 ms");
    await within(20_000, "the release", worker[Symbol.asyncDispose]());
    assert(!inhabited(inode));
    for (const fd of [reader, writer]) thread.call(close(fd));
    await assertClosed(before);
  },
);

testUnless(notRoot(), "NetnsWorker throws in bounded time when its thread dies", async () => {
  const worker = await NetnsWorker.enter(thread, "new", { timeoutMs: 20_000 });
  const { inode } = worker;
  // An argument that is far outside of the shared memory: the Worker throws when it looks there, and ends.
  const outside = new Loaded(new Place(out(8), 1 << 24));
  assertThrows(
    () => worker.call(call("close", outside)),
    PinnedThreadError,
    "ended while it was asked for close",
  );
  assertThrows(() => worker.call(getpid()), PinnedThreadError, "ended");
  await within(20_000, "the end", worker[Symbol.asyncDispose]());
  assert(!inhabited(inode));
});

testUnless(notRoot(), "NetnsWorker serves each its own when there are forty at once", async () => {
  const before = descriptors();
  const workers = await Promise.all(
    Array.from({ length: 40 }, () => NetnsWorker.enter(thread, "new")),
  );
  assertEquals(new Set(workers.map(({ inode }) => inode)).size, 40);
  for (let round = 0; round < 5; round++) {
    for (const worker of workers) {
      assertEquals(worker.call(readlinkat(AT_FDCWD, LINK)), `net:[${worker.inode}]`);
    }
  }
  await Promise.all(workers.map((worker) => worker[Symbol.asyncDispose]()));
  assert(!workers.some(({ inode }) => inhabited(inode)));
  await assertClosed(before);
});

testUnless(
  notRoot(),
  "NetnsWorker closes once when it is closed twice, and serves no more",
  async () => {
    const worker = await NetnsWorker.enter(thread, "new");
    await worker[Symbol.asyncDispose]();
    await worker[Symbol.asyncDispose]();
    assertThrows(() => worker.call(getpid()), PinnedThreadError, "closed");
  },
);
