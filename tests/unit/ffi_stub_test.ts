import { assert, assertEquals, assertThrows } from "@std/assert";
import { attempt, type Call, tolerate } from "../../ffi/call.ts";
import { observe } from "../../ffi/observer.ts";
import type { Remote } from "../../ffi/remote.ts";
import { CLONE, RLIMIT } from "../../ffi/abi/process_flags.ts";
import { SIGNAL } from "../../ffi/abi/signals.ts";
import { SyscallError } from "../../ffi/syscall_error.ts";
import {
  close,
  closeWritten,
  dup3,
  ftruncate,
  getcwd,
  memfd_create,
  openat,
  pipe2,
  read,
  readlinkat,
  write,
} from "../../ffi/syscalls/file.ts";
import { execve, getpid, getrlimit, prlimit64 } from "../../ffi/syscalls/process.ts";
import { openFds, thread, within, withStub } from "../ffi_world.ts";

/** The whole of a file as the stub sees it. */
function readIn(stub: Remote, path: string): string {
  const open = openat(-100, path, 0);
  return new TextDecoder().decode(stub.batch([open, read(open, 8192), close(open)])[1]);
}

/** Whether a descriptor of this process survives execve. */
function passesExec(fd: string): boolean {
  try {
    const info = Deno.readTextFileSync(`/proc/self/fdinfo/${fd}`);
    return (Number.parseInt(/flags:\t(\d+)/.exec(info)?.[1] ?? "0", 8) & 0o2000000) === 0;
  } catch {
    return false; // it was that of the directory that listed it
  }
}

/** Executes something in a stub and collects what it writes to stdout. */
async function output(path: string, argv: string[], envp: string[] = []): Promise<string> {
  return await withStub((stub) => {
    const { reader, writer } = thread.call(pipe2());
    try {
      const [there = -1] = stub.give([writer]);
      thread.call(close(writer));
      stub.exec([dup3(there, 1), execve(path, argv, envp)]);
      let text = "";
      for (;;) {
        const bytes = thread.call(read(reader, 4096));
        if (bytes.length === 0) return text;
        text += new TextDecoder().decode(bytes);
      }
    } finally {
      thread.call(close(reader));
    }
  });
}

Deno.test("Stub.call() is made by the stub when it is asked", async () => {
  await withStub((stub) => {
    assertEquals(stub.call(getpid()), stub.pidfd.pid);
    assertEquals(stub.call(readlinkat(-100, "/proc/self")), String(stub.pidfd.pid));
  });
});

Deno.test("Stub.batch() hands results on when a call names an earlier one", async () => {
  await withStub((stub) => {
    const memfd = memfd_create("test", 1);
    const [fd, written] = stub.batch([memfd, write(memfd, "hello"), ftruncate(memfd, 3)]);
    assertEquals(written, 5);
    assertEquals(readIn(stub, `/proc/self/fd/${fd}`), "hel");
  });
});

Deno.test("Stub.batch() does nothing when it is empty", async () => {
  await withStub((stub) => {
    const memfd = stub.call(memfd_create("test", 1));
    assertEquals(stub.batch([]), []);
    assertEquals(stub.call(memfd_create("test", 1)), memfd + 1); // the last request was not made again
  });
});

Deno.test("Stub.batch() stops at the first failure when nobody expects it", async () => {
  await withStub((stub) => {
    const open = openat(-100, "/nonexistent", 0);
    const before = stub.call(memfd_create("test", 1));
    assertThrows(
      () => stub.batch([open, memfd_create("not", 1)]),
      SyscallError,
      'openat(AT_FDCWD, "/nonexistent", O_CLOEXEC, 0): no such file or directory (ENOENT)',
    );
    assertEquals(stub.call(memfd_create("test", 1)), before + 1);
  });
});

Deno.test("Stub.batch() carries on when a failure is tolerated or attempted", async () => {
  await withStub((stub) => {
    const results = stub.batch([
      tolerate(openat(-100, "/nonexistent", 0), ["ENOENT"], "test"),
      attempt(close(999)),
      getpid(),
    ]);
    assertEquals(results[0], undefined);
    assert(results[1] instanceof SyscallError && results[1].code === "EBADF");
    assertEquals(results[2], stub.pidfd.pid);
    assertThrows(
      () => stub.call(tolerate(close(999), ["ENOENT"], "test")),
      SyscallError,
      "close(999): bad file descriptor (EBADF)",
    );
  });
});

Deno.test("Stub.batch() brings out-buffers back when several calls fill them", async () => {
  await withStub((stub) => {
    const [cwd, exe, root] = stub.batch([
      getcwd(),
      readlinkat(-100, "/proc/self/exe"),
      attempt(readlinkat(-100, "/proc/self/root")),
    ]);
    assertEquals([cwd, exe, root], [Deno.cwd(), "/memfd:belay-stub (deleted)", "/"]);
  });
});

Deno.test("Stub.give() and take() move descriptors when they are asked to", async () => {
  await withStub((stub) => {
    const { reader, writer } = thread.call(pipe2());
    const [there = -1] = stub.give([writer]);
    thread.call(close(writer));
    stub.batch([write(there, "through the stub"), close(there)]);
    assertEquals(new TextDecoder().decode(thread.call(read(reader, 100))), "through the stub");
    assertEquals(thread.call(read(reader, 100)).length, 0);
    thread.call(close(reader));

    const { reader: r, writer: w } = stub.call(pipe2());
    const [mine = -1, other = -1] = stub.take([r, w]);
    thread.call(write(other, "taken"));
    assertEquals(new TextDecoder().decode(thread.call(read(mine, 100))), "taken");
    for (const fd of [mine, other]) thread.call(close(fd));
  });
});

Deno.test("Stub.give() and take() throw, and keep nothing, when the receiver has no room", async () => {
  const before = openFds();
  await withStub((stub) => {
    stub.call(prlimit64(RLIMIT.RLIMIT_NOFILE, { soft: 8n, hard: 64n }));
    const error = assertThrows(() => stub.give([0, 0, 0, 0, 0, 0, 0, 0]), SyscallError, "belay");
    assertEquals([error.syscall, error.code], ["recvmsg", "EMFILE"]);
  }, "belay-stub");
  await withStub((stub) => {
    const limit = thread.call(getrlimit(RLIMIT.RLIMIT_NOFILE));
    const most = openFds().length + 3;
    thread.call(prlimit64(RLIMIT.RLIMIT_NOFILE, { ...limit, soft: BigInt(most) }));
    try {
      assertThrows(() => stub.take(Array(100).fill(0)), SyscallError, "EMFILE");
    } finally {
      thread.call(prlimit64(RLIMIT.RLIMIT_NOFILE, limit));
    }
  });
  assertEquals(openFds(), before);
});

Deno.test("Stub has default signals and an empty mask when it was started", async () => {
  await withStub((stub) => {
    const status = readIn(stub, "/proc/self/status");
    for (const field of ["SigIgn", "SigBlk", "SigCgt", "SigPnd"]) {
      assertEquals(new RegExp(`${field}:\\t(.*)`).exec(status)?.[1], "0000000000000000", field);
    }
    // Deno itself ignores SIGPIPE: that is what would be inherited.
    const own = /SigIgn:\t(.*)/.exec(Deno.readTextFileSync("/proc/self/status"))?.[1];
    assertEquals(BigInt(`0x${own}`) & 0x1000n, 0x1000n);
  });
});

Deno.test("Stub has no descriptor of belay's but its socket when it was started", async () => {
  await withStub((stub) => {
    stub.call(getpid()); // execve(2) lets the parent go on before it closes what is close-on-exec
    const fds = [...Deno.readDirSync(`/proc/${stub.pidfd.pid}/fd`)].map((entry) => entry.name);
    // Whoever started belay may have left it some that are not close-on-exec: `--preserve-fds` is for them.
    const inherited = openFds().filter((fd) => Number(fd) > 3 && passesExec(fd));
    assertEquals(fds.sort(), ["0", "1", "2", "3", ...inherited].sort());
    assertEquals(readIn(stub, "/proc/self/environ"), "");
    assertEquals(readIn(stub, "/proc/self/cmdline"), "belay-test\0");
  });
});

Deno.test("Stub.clone() keeps flags past 32 bits when it adds its own", async () => {
  await withStub((stub) => {
    assertThrows(
      () => stub.clone("x", { flags: CLONE.CLONE_INTO_CGROUP, cgroup: 999 }),
      SyscallError,
      "clone3({CLONE_PIDFD|CLONE_INTO_CGROUP}, 88): bad file descriptor (EBADF)",
    );
  });
});

Deno.test("Stub takes a request larger than its buffer when it is given one", async () => {
  await withStub((stub) => {
    const memfd = memfd_create("large", 1);
    const bytes = new Uint8Array(1_000_000).map((_, i) => i * 7);
    const [fd, written] = stub.batch([memfd, write(memfd, bytes)]);
    assertEquals(written, bytes.length);
    const [mine = -1] = stub.take([fd]);
    assertEquals(Deno.readFileSync(`/proc/self/fd/${mine}`), bytes);
    thread.call(close(mine));
    assertEquals(stub.call(getpid()), stub.pidfd.pid);
  });
});

Deno.test("Stub.exec() executes with arguments larger than the buffer when there are many", async () => {
  const many = Array.from({ length: 5000 }, (_, i) => `argument ${i} ${"x".repeat(100)}`);
  const text = await output("/bin/sh", ["sh", "-c", 'shift 4998; echo $# "$1"', "sh", ...many]);
  assertEquals(text, `2 ${many[4998]}\n`);
});

Deno.test("Stub.exec() hands arguments and environment over when the kernel replaces the stub", async () => {
  assertEquals(await output("/bin/echo", ["echo", "grüße", ""]), "grüße \n");
  assertEquals(await output("/usr/bin/env", ["env"], ["A=1", "B=zwei"]), "A=1\nB=zwei\n");
});

Deno.test("Stub.exec() throws execve's error, and the stub serves on, when there is no such file", async () => {
  await withStub((stub) => {
    assertThrows(
      () => stub.exec([getpid(), execve("/nonexistent", ["x"], [])]),
      SyscallError,
      'execve("/nonexistent", ["x"], []): no such file or directory (ENOENT)',
    );
    assertThrows(() => stub.exec([execve("/etc", ["etc"], [])]), SyscallError, "(EACCES)");
    assertEquals(stub.call(getpid()), stub.pidfd.pid);
  });
});

Deno.test("Stub.exec() throws E2BIG when one argument is longer than the kernel takes", async () => {
  await withStub((stub) => {
    const long = "x".repeat(200_000); // MAX_ARG_STRLEN is 128 KiB
    assertThrows(
      () => stub.exec([execve("/bin/true", ["true", long], [])]),
      SyscallError,
      "argument list too long (E2BIG)",
    );
    assertEquals(stub.call(getpid()), stub.pidfd.pid);
  });
});

Deno.test("Stub.exec() throws an error of an earlier call when the batch never came to execve", async () => {
  await withStub((stub) => {
    const calls: Call<unknown>[] = [closeWritten(999), execve("/bin/true", ["true"], [])];
    assertThrows(() => stub.exec(calls), SyscallError, "close(999)");
    assertThrows(() => stub.exec([getpid()]), Error, "must end in execve");
  });
});

Deno.test("Stub does the same when an observer looks on", async () => {
  const seen: string[] = [];
  observe({
    before: () => undefined,
    after: (made, executor) => void seen.push(`${executor.name} ${made.name}`),
  });
  try {
    await withStub(async (stub) => {
      const child = stub.clone("child", { flags: 0, exitSignal: SIGNAL.SIGCHLD });
      const memfd = memfd_create("test", 1);
      const [fd, written] = child.batch([memfd, write(memfd, "hello")]);
      assertEquals(written, 5);
      const [mine = -1] = child.take([fd]);
      assertEquals(Deno.readTextFileSync(`/proc/self/fd/${mine}`), "hello");
      thread.call(close(mine));
      assertThrows(() => child.batch([close(999), getpid()]), SyscallError, "EBADF");
      child.exec([getpid(), execve("/bin/true", ["true"], [])]);
      await within(5000, "/bin/true", child.pidfd.wait());
      child.pidfd[Symbol.dispose]();
    });
  } finally {
    observe(undefined);
  }
  for (const each of ["test clone3", "child memfd_create", "child sendmsg", "child execve"]) {
    assert(seen.includes(each), `${each} was not seen`);
  }
});

Deno.test("Stub makes no call when an observer says that it fails", async () => {
  await withStub((stub) => {
    stub.call(getpid());
    const count = () => [...Deno.readDirSync(`/proc/${stub.pidfd.pid}/fd`)].length;
    const before = count();
    observe({ before: (made) => made.name === "memfd_create" ? 28 : undefined, after: () => {} });
    try {
      assertThrows(() => stub.call(memfd_create("x", 1)), SyscallError, "(ENOSPC)");
      assertThrows(() => thread.call(memfd_create("x", 1)), SyscallError, "(ENOSPC)");
    } finally {
      observe(undefined);
    }
    assertEquals(count(), before);
  });
});

Deno.test("Thread.batch() closes what it opened and meant to close when it ends early", () => {
  const before = openFds();
  const opened = openat(-100, "/dev/null", 0);
  assertThrows(() => thread.batch([opened, write(opened, "x"), close(opened)]), SyscallError);
  assertEquals(openFds(), before);
});
