import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { mainText, packLoad, piecesOf, placeIn } from "../../scripts/executable.ts";
import type { Program } from "../../scripts/program.ts";

const program: Program = {
  commands: new Map([
    ["", { body: "none()", later: {} }],
    ["group two", {
      chunk: "./two.js",
      body: "two()",
      later: { "./late.js": ["./late.js", "./own.js"] },
    }],
  ]),
  chunks: new Map([["./late.js", "late()"], ["./own.js", "own()"]]),
};

/** An executable of 1000 bytes of Deno's, with `length` bytes of data by libsui's way of Deno 2.4.2. */
function executable(length: number, said = length, magic = 0x501e): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(1000 + length);
  const view = new DataView(bytes.buffer, bytes.length - 16);
  view.setUint32(0, magic, true);
  view.setUint32(4, 0x02a7, true);
  view.setBigUint64(8, BigInt(said), true);
  return bytes;
}

Deno.test("piecesOf() makes a script for each command, and one for what it may load later", () => {
  const { texts, commands, later, owners } = piecesOf(program);
  assertEquals([...texts.keys()], ["command-", "command-group-two", "group-two.late"]);
  assertEquals(texts.get("command-group-two"), "(async (load, link) => {two()\n})");
  assertEquals(
    texts.get("group-two.late"),
    '({"./late.js": async (load) => {late()\n},\n"./own.js": async (load) => {own()\n}})',
  );
  assertEquals(commands, ["", "group two"]);
  assertEquals(later, { "": {}, "group-two": { "./late.js": "group-two.late" } });
  assertEquals(owners, { "./two.js": "group-two" });
});

Deno.test("packLoad() puts each code behind its text, and says where", () => {
  const pieces = piecesOf(program);
  const codeOf = (name: string) => new TextEncoder().encode(`<code of ${name}>`);
  const { bytes, table } = packLoad(pieces, codeOf);
  const read = (at: number, length: number) =>
    new TextDecoder().decode(bytes.subarray(at, at + length));
  assertEquals(Object.keys(table), [...pieces.texts.keys()]);
  let end = 0;
  for (const [name, [at, text, code]] of Object.entries(table)) {
    assertEquals(at, end);
    assertEquals(read(at, text), pieces.texts.get(name));
    assertEquals(read(at + text, code), `<code of ${name}>`);
    end = at + text + code;
  }
  assertEquals(bytes.length, end);
});

Deno.test("placeIn() is before the data that Deno finds by the last bytes", () => {
  assertEquals(placeIn(executable(500)), 1000);
  assertEquals(placeIn(executable(16)), 1000);
  const whole = new Uint8Array(3000);
  whole.set(executable(500), 1500);
  assertEquals(placeIn(whole.subarray(1500)), 1000);
});

Deno.test("placeIn() is the end when the last bytes do not tell of data", () => {
  assertEquals(placeIn(executable(500, 500, 0x501f)), 1500);
  assertEquals(placeIn(executable(500, 15)), 1500);
  assertEquals(placeIn(executable(500, 1501)), 1500);
  assertEquals(placeIn(new Uint8Array(15)), 15);
});

Deno.test("mainText() is as long wherever the load is", () => {
  const pieces = piecesOf(program);
  const load = packLoad(pieces, () => new Uint8Array(7));
  const [none, far] = [mainText(pieces, load, 0), mainText(pieces, load, 123_456_789_012)];
  assertEquals(none.length, far.length);
  assertNotEquals(none, far);
  assert(far.includes("place = 123456789012;"));
});
