import { assert, assertEquals, assertThrows } from "@std/assert";
import { Arena, ArenaFull } from "../../ffi/arena.ts";
import { call, out, Place, Struct } from "../../ffi/call.ts";

const BASE = 0x500000n;

function arena(size = 4096): Arena {
  return new Arena(new ArrayBuffer(size), BASE);
}

function text(from: Arena, address: number | bigint): string {
  const at = Number(address) - Number(BASE);
  return new TextDecoder().decode(from.bytes.subarray(at, from.bytes.indexOf(0, at)));
}

Deno.test("Arena.value() leaves numbers as they are when they are numbers", () => {
  assertEquals(arena().value(7), 7);
  assertEquals(arena().value(-100), -100);
  assertEquals(arena().value(0xffffffffffffffffn), 0xffffffffffffffffn);
});

Deno.test("Arena.value() writes UTF-8 with its NUL when it is given a string", () => {
  const memory = arena();
  memory.bytes.fill(0xaa);
  for (const each of ["", "etc", "grüße", "日本語", "🐳 whale", "x".repeat(1000)]) {
    assertEquals(text(memory, memory.value(each)), each);
  }
});

Deno.test("Arena.value() fills the last byte when a string just fits", () => {
  for (const each of ["seven77", "é€éa"]) { // 7 and 8 bytes
    const size = new TextEncoder().encode(each).length + 1;
    const memory = arena(size);
    assertEquals(text(memory, memory.value(each)), each);
    assertThrows(() => arena(size - 1).value(each), ArenaFull);
  }
});

Deno.test("Arena.value() refuses a string when the kernel would see a shorter one", () => {
  assertThrows(() => arena().value("/etc/passwd\0.txt"), TypeError, "NUL");
});

Deno.test("Arena.value() places a struct once when it is used twice", () => {
  const memory = arena();
  const shared = out(16);
  assertEquals(memory.value(shared), memory.value(shared));
  assertEquals(memory.value(new Place(shared, 4)), Number(memory.value(shared)) + 4);
});

Deno.test("Arena.value() aligns to eight bytes when something odd came before", () => {
  const memory = arena();
  memory.value("abc");
  for (const arg of ["d", new Uint8Array(3), out(5), new Struct(8, [])]) {
    assertEquals(Number(memory.value(arg)) % 8, 0);
  }
});

Deno.test("Arena.value() writes little-endian fields of every width when they are signed or not", () => {
  const memory = arena();
  memory.value(
    new Struct(24, [[0, 1, 0xff], [1, 1, -1], [2, 2, -2], [4, 4, 0xdeadbeef], [8, 8, -1n], [
      16,
      8,
      0x0102030405060708n,
    ]]),
  );
  assertEquals([...memory.bytes.subarray(0, 24)], [
    ...[0xff, 0xff, 0xfe, 0xff, 0xef, 0xbe, 0xad, 0xde],
    ...[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    ...[8, 7, 6, 5, 4, 3, 2, 1],
  ]);
});

Deno.test("Arena.value() turns nested pointers into addresses when structs hold strings and structs", () => {
  const memory = arena();
  const inner = new Struct(16, [[0, 8, "inner"], [8, 8, new Uint8Array([1, 2, 3])]]);
  const outer = new Struct(24, [[0, 8, inner], [8, 8, "outer"], [16, 8, new Place(inner, 8)]]);
  const at = (address: bigint) => memory.view.getBigUint64(Number(address - BASE), true);
  const address = BigInt(memory.value(outer));
  const innerAddress = at(address);
  assertEquals(text(memory, at(innerAddress)), "inner");
  assertEquals(text(memory, at(address + 8n)), "outer");
  assertEquals(at(address + 16n), innerAddress + 8n);
  const bytes = Number(at(innerAddress + 8n) - BASE);
  assertEquals([...memory.bytes.subarray(bytes, bytes + 3)], [1, 2, 3]);
});

Deno.test("Arena.value() clears memory when it was used before", () => {
  const memory = arena();
  memory.bytes.fill(0xaa);
  memory.value(new Struct(16, [[0, 4, 1]]));
  assertEquals(memory.view.getBigUint64(0, true), 1n);
  assertEquals(memory.view.getBigUint64(8, true), 0n);
});

Deno.test("Arena.put() writes 64 bits of whatever integer it is given", () => {
  const memory = arena();
  const numbers = [0, 1, -1, -100, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, -0x80000001];
  for (
    const value of [
      ...numbers,
      Number.MAX_SAFE_INTEGER,
      Number.MIN_SAFE_INTEGER,
      0x7fffffffffffffffn,
    ]
  ) {
    memory.bytes.fill(0xaa);
    memory.put(8, value);
    assertEquals(memory.view.getBigUint64(8, true), BigInt.asUintN(64, BigInt(value)), `${value}`);
  }
  for (const value of [1.5, NaN, Infinity, 2 ** 53]) {
    for (const width of [1, 2, 4, 8] as const) {
      assertThrows(() => memory.put(8, value, width), RangeError, `no integer: ${value}`);
    }
  }
});

Deno.test("Arena.collect() brings back what the kernel wrote when structs are nested", () => {
  const memory = arena();
  const inner = out(8);
  const outer = new Struct(8, [[0, 8, inner]]);
  const made = call("read", 0, outer);
  made.args.forEach((arg) => memory.value(arg as Struct));
  memory.view.setBigUint64(memory.offsetOf(inner), 42n, true);
  memory.collect();
  assertEquals(inner.view().getBigUint64(0, true), 42n);
  assertEquals(outer.bytes, new Uint8Array(8)); // not an out-buffer
  memory.bytes.fill(0);
  assertEquals(inner.view().getBigUint64(0, true), 42n); // a copy
});

Deno.test("Arena.overflow takes what is only read when there is one", () => {
  const memory = arena();
  const area = new Arena(new ArrayBuffer(4096), 0x10000000n);
  memory.overflow = area;
  const inArea = (address: number | bigint) => address >= 0x10000000;
  assert(inArea(memory.value("read only")));
  assert(inArea(memory.value(new Uint8Array(8))));
  assert(inArea(memory.value(new Struct(8, [[0, 8, "argv"]]))));
  assert(!inArea(memory.value(out(8))));
  const filled = out(8);
  assert(!inArea(memory.value(new Struct(8, [[0, 8, filled]])))); // it points at an out-buffer
  assert(!inArea(memory.value(new Struct(8, [[0, 8, new Place(filled, 0)]]))));
  assertEquals(memory.value(5), 5);
});
