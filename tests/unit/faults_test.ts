// What the fault sweep has found once, without root and one by one.
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { SyscallError } from "../../ffi/syscall_error.ts";
import { ERRNO } from "../../ffi/abi/errno.ts";
import { observe } from "../../ffi/observer.ts";
import { writeWhole } from "../../ffi/files.ts";
import type { Kernel } from "../../ffi/kernel.ts";
import { showCall } from "../../ffi/show.ts";
import { openat } from "../../ffi/syscalls/file.ts";
import { describeError } from "../../runtime/cli/describe_error.ts";
import { inRuntime, runHooks } from "../../runtime/hooks/run_hooks.ts";
import { parseJournal } from "../../runtime/state/journal.ts";
import { host, openFds, thread, within, withStub } from "../ffi_world.ts";

/** Does something while the first call of a name fails. */
async function failing<T>(name: string, work: () => T | Promise<T>): Promise<T> {
  let failed = false;
  observe({
    before(made) {
      if (failed || made.name !== name) return undefined;
      failed = true;
      return ERRNO.ENOMEM;
    },
    after() {},
  });
  try {
    return await work();
  } finally {
    observe(undefined);
  }
}

Deno.test("parseJournal() leaves out a line that was cut when a disk was full", () => {
  const entry = { kind: "cgroup", path: "/sys/fs/cgroup/a" };
  const line = JSON.stringify(entry);
  assertEquals(parseJournal(`${line}\n${line.slice(0, 9)}\n${line}\n${line.slice(0, 9)}`), [
    entry,
    entry,
  ] as ReturnType<typeof parseJournal>);
});

Deno.test("describeError() tells all errors of an AggregateError", () => {
  const error = new AggregateError([new Error("one"), new Error("two", { cause: "why" })], "both");
  assertEquals(describeError(error), "both: one; two: internal error: why");
});

Deno.test("writeWhole() throws when only a part was written", () => {
  const half = { batch: () => [3, 2, undefined] } as unknown as Kernel;
  assertThrows(
    () => writeWhole(half, openat(-100, "/state", 0), "text"),
    Error,
    "only 2 of 4 bytes",
  );
});

for (const name of ["epoll_create1", "eventfd2", "epoll_ctl"]) {
  Deno.test(`Pidfd.wait() can be asked again when ${name} has failed`, async () => {
    const before = openFds();
    await withStub(async (stub) => {
      await failing(name, () => assertRejects(() => stub.pidfd.wait(), SyscallError, name));
      const ended = stub.pidfd.wait();
      stub[Symbol.dispose]();
      await within(5000, "the second wait", ended);
    });
    assertEquals(openFds(), before);
  });
}

for (const name of ["ppoll", "waitid", "memfd_create", "sendmsg"]) {
  Deno.test(`runHooks() leaves neither hook nor descriptor behind when ${name} fails`, async () => {
    const before = openFds();
    const hook = { path: "/bin/sleep", args: ["sleep", "0.3"], env: [] };
    const state = { ociVersion: "1.3.0", id: "x", status: "creating", bundle: "/" } as const;
    const stubs: number[] = [];
    const place = {
      ...inRuntime(host),
      spawn() {
        const stub = host.spawn("hook");
        stubs.push(stub.pidfd.pid);
        return stub;
      },
    };
    await failing(
      name,
      () =>
        assertThrows(
          () => runHooks(thread, place, "prestart", [hook], state),
          Error,
          "error running prestart hook #0",
        ),
    );
    assertEquals(openFds(), before);
    for (const pid of stubs) {
      assertThrows(() => Deno.statSync(`/proc/${pid}`), Deno.errors.NotFound);
    }
  });
}

Deno.test("Pidfd.wait() is not forgotten when it begins as another wait ends", async () => {
  await withStub(async (first) => {
    await withStub(async (second) => {
      const begun = Promise.withResolvers<{ ended: Promise<void> }>();
      observe({
        before(made) {
          if (!showCall(made).includes("EPOLL_CTL_DEL")) return undefined;
          observe(undefined);
          // The first to run when the loop that has nobody left to wait for gives up its turn.
          queueMicrotask(() => begun.resolve({ ended: second.pidfd.wait() }));
          return undefined;
        },
        after() {},
      });
      const ended = first.pidfd.wait();
      first[Symbol.dispose]();
      await within(5000, "the first", ended);
      const next = await begun.promise;
      second[Symbol.dispose]();
      await within(5000, "the second", next.ended);
    });
  });
});
