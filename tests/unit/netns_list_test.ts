// What `netns list` is made of and can be tried without a kernel: BTF, records, names of sockets, changes.
import { assert, assertEquals, assertThrows } from "@std/assert";
import { BtfError, searchBtf } from "../../ffi/btf.ts";
import {
  fileProgram,
  ITERATOR_MEMBERS,
  RECORD,
  RECORD_WORDS,
  threadProgram,
} from "../../ffi/task_iterators.ts";
import { protocolName, socketsOf } from "../../runtime/netns/discover/holder.ts";
import { Netns } from "../../runtime/netns/discover/discover.ts";
import { heldBy } from "../../runtime/netns/list/table.ts";
import { changes } from "../../runtime/netns/list/watch.ts";

/** A BTF of these types, each given as its words, with names by their offsets. */
function btf(names: string, types: readonly (readonly number[])[]): Uint8Array {
  const text = new TextEncoder().encode(names);
  const words = types.flat();
  const bytes = new Uint8Array(24 + words.length * 4 + text.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 0xeb9f, true);
  view.setUint8(2, 1);
  [24, 0, words.length * 4, words.length * 4, text.length].forEach((value, i) =>
    view.setUint32(4 + i * 4, value, true)
  );
  words.forEach((word, i) => view.setUint32(24 + i * 4, word, true));
  bytes.set(text, 24 + words.length * 4);
  return bytes;
}

const NAMES = "\0int\0pair\0first\0second\0bits\0walk\0";
const at = (name: string) => NAMES.indexOf(`\0${name}\0`) + 1;
const [INT, STRUCT, FUNC] = [1 << 24, 4 << 24, 12 << 24];
const TYPES = [
  [at("int"), INT, 4, 32],
  [at("pair"), STRUCT | 2, 8, at("first"), 1, 0, at("second"), 1, 32],
  [at("walk"), FUNC, 1],
];

Deno.test("searchBtf() finds members in bytes and functions by their number", () => {
  const found = searchBtf(btf(NAMES, TYPES), ["walk", "nobody"], [
    ...["pair.second", "pair.first", "pair.third", "nothing.first"],
  ]);
  assertEquals(found, { functions: { walk: 3 }, members: { "pair.second": 4, "pair.first": 0 } });
});

Deno.test("searchBtf() leaves out bit fields", () => {
  const withBits = (STRUCT | 1 | 1 << 31) >>> 0;
  const types = [TYPES[0] ?? [], [at("bits"), withBits, 4, at("first"), 1, 3 << 24 | 8]];
  assertEquals(searchBtf(btf(NAMES, types), [], ["bits.first"]).members, {});
});

Deno.test("searchBtf() throws when the bytes are no BTF, cut short, or of an unknown kind", () => {
  const whole = btf(NAMES, TYPES);
  assertThrows(() => searchBtf(new Uint8Array(3), [], []), BtfError, "no BTF");
  assertThrows(() => searchBtf(whole.slice(0, -1), [], []), BtfError, "cut short");
  assertThrows(
    () => searchBtf(btf(NAMES, [[0, 31 << 24, 0]]), [], []),
    BtfError,
    "does not know: 31",
  );
});

Deno.test("searchBtf() ends, with an answer or an Error, whatever the bytes are", () => {
  const whole = btf(NAMES, TYPES);
  for (let round = 0; round < 2000; round++) {
    const bytes = whole.slice();
    const noise = crypto.getRandomValues(new Uint8Array(3));
    bytes[4 + (noise[0] ?? 0) % (bytes.length - 4)] = noise[1] ?? 0;
    try {
      searchBtf(bytes, ["walk"], ["pair.first"]);
    } catch (error) {
      assert(error instanceof Error && !(error instanceof TypeError), String(error));
    }
  }
});

const MEMBERS = Object.fromEntries(ITERATOR_MEMBERS.map((name, i) => [name, i * 8]));

Deno.test("iterator programs jump forwards only, to instructions of their own", () => {
  for (
    const bytes of [threadProgram, fileProgram].map((make) =>
      make({ functions: {}, members: MEMBERS })
    )
  ) {
    const view = new DataView(bytes.buffer);
    const count = bytes.length / 8;
    for (let i = 0; i < count; i++) {
      const code = view.getUint8(i * 8);
      const isJump = (code & 7) === 5 && code !== 0x85 && code !== 0x95;
      if (!isJump) continue;
      const target = i + 1 + view.getInt16(i * 8 + 2, true);
      assert(target > i && target < count, `instruction ${i} jumps to ${target} of ${count}`);
    }
    assertEquals(view.getUint8((count - 1) * 8), 0x95); // exit
  }
});

Deno.test("iterator programs name the member that a kernel does not have", () => {
  const members = { ...MEMBERS };
  delete members["net.user_ns"];
  assertThrows(() => fileProgram({ functions: {}, members }), Error, "no net.user_ns");
});

Deno.test("socketsOf() reads the records of a run", () => {
  const piece = new Uint32Array(3 * RECORD_WORDS);
  [1, 2].forEach((i) => {
    piece[i * RECORD_WORDS + RECORD.fd] = 10 + i;
    piece[i * RECORD_WORDS + RECORD.socketType] = 16 | 3 << 16;
    piece[i * RECORD_WORDS + RECORD.protocol] = 12;
    piece[i * RECORD_WORDS + RECORD.inode] = 100 + i;
  });
  assertEquals(socketsOf({ pid: 1, tid: 1, piece, start: RECORD_WORDS, count: 2 }), [
    { fd: 11, protocol: "NETLINK_NETFILTER", inode: 101 },
    { fd: 12, protocol: "NETLINK_NETFILTER", inode: 102 },
  ]);
});

Deno.test("protocolName() says what people call a socket", () => {
  const names = [[1, 1, 0], [2, 1, 6], [10, 2, 17], [2, 3, 1], [10, 3, 255], [16, 3, 0], [
    16,
    3,
    99,
  ]]
    .concat([[17, 3, 768], [2, 1, 77], [99, 1, 0], [10, 3, 58]])
    .map(([family = 0, type = 0, protocol = 0]) => protocolName(family, type, protocol));
  assertEquals(names, [
    ...["UNIX", "TCP", "UDP6", "RAW", "RAW6", "NETLINK_ROUTE", "NETLINK_99"],
    ...["PACKET", "IP_77", "AF_99", "RAW6"],
  ]);
});

Deno.test("changes() tells what came, went, and is held by others", () => {
  const before = new Map([[1, "a"], [2, "b"], [3, "c"]]);
  const now = new Map([[1, "a"], [2, "x"], [4, "d"]]);
  assertEquals(changes(before, now), ["~ 2   x", "+ 4   d", "- 3   c"]);
});

Deno.test("heldBy() shows control characters when a process has some in its name", () => {
  const netns = new Netns(7);
  const comm = "\x1b[2J\nroot";
  netns.threads.push({ pid: 5, tid: 5, netns: 7, owner: 0, mountNamespace: 0, comm });
  const text = "process \\x1b[2J\\x0aroot (5)";
  assertEquals(heldBy(netns, { comm: () => comm }), text);
  netns.descriptors.push({ kind: "nsfs", pid: 5, tid: 5, fd: 3 });
  assertEquals(
    heldBy(netns, { comm: () => comm }),
    `${text}; descriptor fd 3 of ${text.slice("process ".length)}`,
  );
});
