// Stubs that are stopped, killed, left asleep and woken, and what is left of them.
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { Host } from "../../ffi/host.ts";
import type { Pidfd } from "../../ffi/pidfd.ts";
import { StubGone } from "../../ffi/stub.ts";
import { SIGNAL } from "../../ffi/abi/signals.ts";
import { SyscallError } from "../../ffi/syscall_error.ts";
import { sleep } from "../../ffi/syscalls/event.ts";
import { execve, getpid } from "../../ffi/syscalls/process.ts";
import { accept4, bind, listen, SOCK, socket } from "../../ffi/syscalls/socket.ts";
import { host, openFds, thread, within, withStub } from "../ffi_world.ts";

Deno.test("Stub goes on serving when it is stopped and continued while it waits", async () => {
  await withStub((stub) => {
    for (let i = 0; i < 20; i++) {
      stub.pidfd.signal(SIGNAL.SIGSTOP);
      stub.pidfd.signal(SIGNAL.SIGCONT);
      assertEquals(stub.call(getpid()), stub.pidfd.pid);
    }
  });
});

Deno.test("Stub makes an interrupted call again when it is stopped in the middle of it", async () => {
  await withStub(async (stub) => {
    const { pid } = stub.pidfd;
    // Somebody else stops and continues it while this thread waits for the answer.
    const script = `for i in 1 2 3 4 5; do sleep 0.02; kill -STOP ${pid}; kill -CONT ${pid}; done`;
    const killer = new Deno.Command("sh", { args: ["-c", script] }).spawn();
    const start = performance.now();
    stub.call(sleep(300));
    assert(performance.now() - start >= 295);
    assertEquals((await killer.status).code, 0);
    assertEquals(stub.call(getpid()), pid);
  });
});

Deno.test("Stub throws StubGone, and does not hang, when it was killed before", async () => {
  await withStub(async (stub) => {
    stub.pidfd.signal(SIGNAL.SIGKILL);
    await within(5000, "dying", stub.pidfd.wait());
    for (let i = 0; i < 2; i++) assertThrows(() => stub.call(getpid()), StubGone, "was killed");
    assertThrows(() => stub.take([0]), StubGone);
  });
});

Deno.test("Stub throws StubGone, and does not hang, when it is killed in the middle of a call", async () => {
  await withStub(async (stub) => {
    const args = ["-c", `sleep 0.1; kill -KILL ${stub.pidfd.pid}`];
    const killer = new Deno.Command("sh", { args }).spawn();
    assertThrows(() => stub.call(sleep(60_000)), StubGone, "was killed");
    assertEquals((await killer.status).code, 0);
  });
});

Deno.test("Stub.clone() throws, and does not hang, when the stub is dead and its clone lives", async () => {
  await withStub(async (stub) => {
    const child = stub.clone("child", { flags: 0, exitSignal: SIGNAL.SIGCHLD });
    stub.pidfd.signal(SIGNAL.SIGKILL);
    await within(5000, "dying", stub.pidfd.wait());
    assertThrows(() => stub.call(getpid()), StubGone);
    assertThrows(() => stub.clone("x", { flags: 0 }), StubGone);
    assertEquals(child.call(getpid()), child.pidfd.pid); // the child serves on
    child[Symbol.dispose]();
    await within(5000, "ending", child.pidfd.wait());
    child.pidfd[Symbol.dispose]();
  });
});

for (const victim of ["clone", "stub"]) {
  Deno.test(`Stub.clone() throws, and does not hang, when the ${victim} is killed in the middle of it`, async () => {
    const entry = new URL("stub_killed_entry.ts", import.meta.url).pathname;
    const { code, stdout } = await new Deno.Command("timeout", {
      args: ["20", Deno.execPath(), "run", "--allow-all", "--no-check", entry, victim],
      stderr: "inherit",
    }).output();
    assertEquals(code, 0, "124: it waited for the dead");
    assertMatch(
      new TextDecoder().decode(stdout),
      new RegExp(
        `^StubGone: ${victim === "clone" ? "clone" : "test"} \\(process \\d+\\) was killed\n$`,
      ),
    );
  });
}

Deno.test("Stub ends when its driver lets it go", async () => {
  const stub = host.spawn("test");
  stub[Symbol.dispose]();
  await within(5000, "ending", stub.pidfd.wait());
  assertEquals(stub.pidfd.reap(), { pid: stub.pidfd.pid, code: 0 });
  stub.pidfd[Symbol.dispose]();
  assertThrows(() => stub.call(getpid()), StubGone, "let go");
});

/** A stub that sleeps on a socket of its own, as that of a created container does. */
function asleep(path: string): { pidfd: Pidfd } {
  const stub = host.spawn("sleeper");
  const listener = socket(SOCK.SOCK_SEQPACKET);
  const [fd] = stub.batch([listener, bind(listener, path), listen(listener, 1)]);
  stub.leaveIn(accept4(fd));
  return stub;
}

Deno.test("Host.wake() drives a stub that was left asleep when its first driver is gone", async () => {
  const dir = Deno.makeTempDirSync();
  const before = openFds();
  try {
    const { pidfd } = asleep(`${dir}/s`);
    assert(!pidfd.waitSync(50), "it sleeps on");
    const woken = host.wake("woken", `${dir}/s`, pidfd);
    assertEquals(woken.call(getpid()), pidfd.pid);
    assertThrows(() => woken.exec([execve("/nonexistent", ["x"], [])]), SyscallError, "ENOENT");
    assertEquals(woken.call(getpid()), pidfd.pid);
    woken[Symbol.dispose]();
    await within(5000, "ending", pidfd.wait()); // nobody else may come
    assertEquals(pidfd.reap().code, 0);
    assertThrows(() => host.wake("late", `${dir}/s`, pidfd), SyscallError, "ECONNREFUSED");
    pidfd[Symbol.dispose]();
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
  assertEquals(openFds(), before);
});

Deno.test("Host.wake() throws StubGone when the sleeper is killed before it answers", async () => {
  const dir = Deno.makeTempDirSync();
  try {
    using pidfd = asleep(`${dir}/s`).pidfd;
    pidfd.signal(SIGNAL.SIGSTOP); // it cannot answer; the connection waits in its backlog
    const args = ["-c", `sleep 0.1; kill -KILL ${pidfd.pid}`];
    const killer = new Deno.Command("sh", { args }).spawn();
    assertThrows(() => host.wake("woken", `${dir}/s`, pidfd), StubGone, "was killed");
    assertEquals((await killer.status).code, 0);
    assertEquals(pidfd.reap().signal, 9);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("Host.spawn() leaves neither descriptors nor zombies when 100 stubs came and went", async () => {
  await withStub((stub) => stub.call(getpid()));
  const before = openFds();
  for (let i = 0; i < 100; i++) await withStub((stub) => stub.call(getpid()));
  for (let i = 0; i < 10; i++) {
    await withStub((stub) => {
      assertThrows(() => stub.clone("x", { flags: -1 }), SyscallError, "clone3");
    });
  }
  assertEquals(openFds(), before);
  const children = Deno.readTextFileSync("/proc/self/task/" + thread.call(getpid()) + "/children");
  assertEquals(children.trim(), "");
});

Deno.test("Stub.give() throws StubGone when the stub is killed before the descriptors are sent", () => {
  const victims: Pidfd[] = [];
  const carriers = new Host("/tmp", {
    call(made) {
      const victim = made.name === "sendmsg" ? victims.pop() : undefined;
      victim?.signal(SIGNAL.SIGKILL);
      victim?.waitSync();
      return thread.call(made);
    },
    batch: (calls) => thread.batch(calls),
  });
  const stub = carriers.spawn("test");
  victims.push(stub.pidfd);
  assertThrows(() => stub.give([0]), StubGone, "was killed");
  stub[Symbol.dispose]();
  assertEquals(stub.pidfd.reap().signal, 9);
  stub.pidfd[Symbol.dispose]();
});
