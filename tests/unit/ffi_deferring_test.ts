// Calls that wait, against a kernel that only records: what travels together, in which order, and who hears of a failure.
import { assertEquals, assertThrows } from "@std/assert";
import { ERRNO } from "../../ffi/abi/errno.ts";
import { Deferring, post } from "../../ffi/deferring.ts";
import type { Kernel } from "../../ffi/kernel.ts";
import { Recorder } from "../../ffi/recorder.ts";
import { SyscallError } from "../../ffi/syscall_error.ts";
import { chdir, mkdirat } from "../../ffi/syscalls/file.ts";
import { getpid } from "../../ffi/syscalls/process.ts";

/** A kernel in which changing into some directories fails with ENOENT; the batches that it was given. */
function world(missing: Set<string>): { direct: Kernel; batches: string[][] } {
  const recorder = new Recorder(({ name, args }) => {
    if (name === "getpid") return 42;
    return missing.has(String(args[0])) ? -ERRNO.ENOENT : 0;
  });
  const batches: string[][] = [];
  const direct: Kernel = {
    call: (made) => recorder.thread.call(made),
    batch: (calls) => {
      batches.push(calls.map((made) => String(made.args[0] ?? made.name)));
      return recorder.thread.batch(calls);
    },
  };
  return { direct, batches };
}

Deno.test("Deferring sends what was posted with the next call whose result is needed, in order", () => {
  const { direct, batches } = world(new Set());
  const kernel = new Deferring(direct);
  kernel.post([chdir("a")]);
  kernel.post([]);
  kernel.post([chdir("b"), chdir("c")]);
  assertEquals(batches, []);
  assertEquals(kernel.call(getpid()), 42);
  assertEquals(batches, [["a", "b", "c", "getpid"]]);
  kernel.flush();
  assertEquals(batches.length, 1, "there was nothing more");
});

Deno.test("Deferring.post() does not let more wait than a request holds", () => {
  const { direct, batches } = world(new Set());
  const kernel = new Deferring(direct);
  for (let i = 0; i < 501; i++) kernel.post([chdir(`${i}`)]);
  assertEquals(batches.map(({ length }) => length), [501]);
});

Deno.test("Deferring makes a group once more, or goes on behind it, as its handler says", () => {
  const missing = new Set(["b"]);
  const { direct, batches } = world(missing);
  const kernel = new Deferring(direct);
  kernel.post([chdir("a")], () => {
    throw new Error("nothing is wrong with this group");
  });
  kernel.post([chdir("b1"), chdir("b")], (error, same) => {
    assertEquals([error.code, same === direct], ["ENOENT", true]);
    missing.clear();
    return "again";
  });
  assertEquals(kernel.call(getpid()), 42);
  assertEquals(batches, [["a", "b1", "b", "getpid"], ["b1", "b", "getpid"]]);
  batches.length = 0;
  missing.add("d");
  kernel.post([chdir("d")], () => "done");
  kernel.post([chdir("e")]);
  assertEquals(kernel.call(getpid()), 42);
  assertEquals(batches, [["d", "e", "getpid"], ["e", "getpid"]]);
});

Deno.test("Deferring throws what no handler is for, and what is no error of the kernel's", () => {
  const { direct } = world(new Set(["b"]));
  const kernel = new Deferring(direct);
  kernel.post([chdir("b")]);
  const error = assertThrows(() => kernel.flush(), SyscallError);
  assertEquals(error.code, "ENOENT");
  const broken = new Deferring({
    ...direct,
    batch: () => {
      throw new RangeError("not the kernel's");
    },
  });
  broken.post([chdir("a")], () => "done");
  assertThrows(() => broken.flush(), RangeError, "not the kernel's");
});

Deno.test("post() waits where the kernel can, and is at once where it cannot", () => {
  const { direct, batches } = world(new Set(["gone"]));
  const kernel = new Deferring(direct);
  post(kernel, [chdir("later")]);
  assertEquals(batches, []);
  post(direct, [mkdirat(-100, "now", 0o755)]);
  assertEquals(batches, [["-100"]]);
  let told: string | undefined;
  post(direct, [chdir("gone")], (error) => {
    told = error.code;
    return "done";
  });
  assertEquals(told, "ENOENT");
  kernel.flush();
  assertEquals(batches.at(-1), ["later"]);
});
