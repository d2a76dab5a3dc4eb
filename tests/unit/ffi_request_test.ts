import { assertEquals, assertThrows } from "@std/assert";
import { ArenaFull } from "../../ffi/arena.ts";
import { attempt, call, Loaded, out, Place, tolerate } from "../../ffi/call.ts";
import { RequestBuffer, resolved } from "../../ffi/request.ts";
import { close, closeWritten, openat, read, write } from "../../ffi/syscalls/file.ts";
import { accept4 } from "../../ffi/syscalls/socket.ts";
import { execve, getpid } from "../../ffi/syscalls/process.ts";
import { NEXT_ADOPT, STUB_BUFFER_ADDRESS, STUB_OVERFLOW_ADDRESS } from "../../ffi/stub/protocol.ts";
import type { Arch } from "../../ffi/abi/syscall_numbers.ts";

/** The i-th call of a request, as the stub reads it. */
function slot(buffer: RequestBuffer, index: number) {
  const at = 8 + index * 64;
  const view = buffer.arena.view;
  return {
    nr: view.getUint32(at, true),
    how: view.getUint32(at + 4, true),
    args: Array.from({ length: 6 }, (_, i) => view.getBigUint64(at + 8 + i * 8, true)),
    next: view.getBigInt64(at + 56, true),
  };
}

Deno.test("RequestBuffer.write() lays out the same bytes but for the numbers when the architecture differs", () => {
  const requests = (["x86_64", "aarch64"] as const).map((arch: Arch) => {
    const buffer = new RequestBuffer();
    const { length } = buffer.write([openat(-100, "/etc", 0), getpid()], arch);
    return {
      bytes: buffer.arena.bytes.slice(0, length),
      numbers: [slot(buffer, 0).nr, slot(buffer, 1).nr],
    };
  });
  assertEquals(requests.map((each) => each.numbers), [[257, 39], [56, 172]]);
  for (const { bytes } of requests) new DataView(bytes.buffer).setUint32(8, 0, true);
  for (const { bytes } of requests) new DataView(bytes.buffer).setUint32(72, 0, true);
  assertEquals(requests[0]?.bytes, requests[1]?.bytes);
});

Deno.test("RequestBuffer.write() gives the bytes that the stub reads when a call has a string", () => {
  const buffer = new RequestBuffer();
  const { length } = buffer.write([openat(-100, "/etc", 0)], "x86_64");
  assertEquals(length, 8 + 64 + 5);
  assertEquals(buffer.arena.view.getBigUint64(0, true), 1n);
  assertEquals(slot(buffer, 0), {
    nr: 257,
    how: 0,
    args: [BigInt.asUintN(64, -100n), STUB_BUFFER_ADDRESS + 72n, 0o2000000n, 0n, 0n, 0n],
    next: 0n,
  });
  assertEquals(new TextDecoder().decode(buffer.arena.bytes.subarray(72, 77)), "/etc\0");
});

Deno.test("RequestBuffer.write() marks indirect arguments when a call names earlier ones", () => {
  const buffer = new RequestBuffer();
  const open = openat(-100, "/etc", 0);
  const memory = out(16);
  const first = call("read", open, memory, 16);
  const second = call("write", new Loaded(new Place(memory, 8)), 0, open);
  buffer.write([open, first, second], "x86_64");
  assertEquals(slot(buffer, 1).how, 0b1);
  assertEquals(slot(buffer, 1).args[0], STUB_BUFFER_ADDRESS + 8n);
  assertEquals(slot(buffer, 2).how, 0b101);
  assertEquals(slot(buffer, 2).args[0], (slot(buffer, 1).args[1] ?? 0n) + 8n);
  assertEquals(slot(buffer, 2).args[2], STUB_BUFFER_ADDRESS + 8n);
});

Deno.test("RequestBuffer.write() tells the stub to carry on when an error is expected", () => {
  const buffer = new RequestBuffer();
  const calls = [closeWritten(3), tolerate(close(4), ["EBADF"], "test"), attempt(close(5))];
  buffer.write(calls, "x86_64");
  assertEquals(calls.map((_, i) => slot(buffer, i).how), [0, 0x80000000, 0x80000000]);
});

Deno.test("RequestBuffer.write() says which descriptor comes next when a call moves the conversation", () => {
  const buffer = new RequestBuffer();
  const accept = accept4(3);
  accept.next = NEXT_ADOPT;
  const clone = call("clone3", 0, 0);
  clone.next = 9n;
  buffer.write([accept, clone], "aarch64");
  assertEquals([slot(buffer, 0).next, slot(buffer, 1).next], [-1n, 9n]);
});

Deno.test("RequestBuffer.write() throws when a call names one that does not come before it", () => {
  const open = openat(-100, "/etc", 0);
  const buffer = new RequestBuffer();
  assertThrows(() => buffer.write([close(open), open], "x86_64"), Error, "no earlier call");
  assertThrows(() => buffer.write([close(open)], "x86_64"), Error, "no earlier call");
  const self = call("close", 0);
  assertThrows(() => buffer.write([call("dup3", self)], "x86_64"), Error, "no earlier call");
});

Deno.test("RequestBuffer.write() puts what is only read elsewhere when it does not fit", () => {
  const buffer = new RequestBuffer();
  const argv = Array.from({ length: 4000 }, (_, i) => `argument number ${i} ${"x".repeat(100)}`);
  const { length, overflow } = buffer.write([execve("/bin/true", argv, [])], "x86_64");
  assertEquals(length, 8 + 64);
  const [path, vector] = slot(buffer, 0).args;
  assertEquals(path, STUB_OVERFLOW_ADDRESS);
  const area = overflow ?? new Uint8Array();
  const view = new DataView(area.buffer, area.byteOffset, area.byteLength);
  const at = Number((vector ?? 0n) - STUB_OVERFLOW_ADDRESS);
  const last = Number(view.getBigUint64(at + 3999 * 8, true) - STUB_OVERFLOW_ADDRESS);
  assertEquals(new TextDecoder().decode(area.subarray(last, area.indexOf(0, last))), argv[3999]);
  assertEquals(view.getBigUint64(at + 4000 * 8, true), 0n);
  // And the next, small one goes the usual way.
  assertEquals(buffer.write([openat(-100, "/etc", 0)], "x86_64"), { length: 77 });
});

Deno.test("RequestBuffer.write() throws when out-buffers alone do not fit", () => {
  assertThrows(() => new RequestBuffer().write([read(3, 0x40000)], "x86_64"), ArenaFull);
  const many = Array.from({ length: 4000 }, () => getpid());
  assertThrows(() => new RequestBuffer().write(many, "x86_64"), ArenaFull, "4000 calls");
});

Deno.test("RequestBuffer.read() gives raw results and fills out-buffers when it was answered", () => {
  const buffer = new RequestBuffer();
  const reading = read(3, 8);
  const calls = [reading, write(1, "x")];
  buffer.write(calls, "x86_64");
  const into = Number((slot(buffer, 0).args[1] ?? 0n) - STUB_BUFFER_ADDRESS);
  buffer.arena.bytes.set([1, 2, 3], into); // what the stub would do
  buffer.arena.view.setBigInt64(8, 3n, true);
  buffer.arena.view.setBigInt64(72, -9n, true);
  buffer.collect();
  assertEquals(reading.decode(buffer.read(0)), new Uint8Array([1, 2, 3]));
  assertEquals(buffer.read(1), -9);
});

Deno.test("resolved() puts numbers for earlier results when a call goes alone", () => {
  const open = openat(-100, "/etc", 0);
  const alone = resolved(tolerate(close(open), ["EBADF"], "test"), new Map([[open, 7]]));
  assertEquals(alone.args, [7]);
  assertEquals(alone.onFailure.kind, "tolerate");
  assertThrows(() => resolved(close(open), new Map()), Error, "no earlier call");
});
