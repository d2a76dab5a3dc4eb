import { assertEquals } from "@std/assert";
import { isExiting } from "../../ffi/is_exiting.ts";
import { Pidfd } from "../../ffi/pidfd.ts";
import { SIGNAL } from "../../ffi/abi/signals.ts";
import { getpid } from "../../ffi/syscalls/process.ts";
import { thread, within, withStub } from "../ffi_world.ts";

Deno.test("isExiting() is true of a zombie and of who was reaped, and of nobody who lives", async () => {
  const own = Pidfd.open(thread, thread.call(getpid()));
  using _own = own;
  assertEquals(isExiting(thread, own), false);
  const reaped = await withStub(async (stub) => {
    assertEquals(isExiting(thread, stub.pidfd), false);
    stub.pidfd.signal(SIGNAL.SIGSTOP);
    assertEquals(isExiting(thread, stub.pidfd), false);
    stub.pidfd.signal(SIGNAL.SIGKILL);
    await within(20_000, "dying", stub.pidfd.wait());
    assertEquals(isExiting(thread, stub.pidfd), true);
    return Pidfd.open(thread, stub.pidfd.pid);
  });
  using _reaped = reaped;
  assertEquals(isExiting(thread, reaped), true);
});
