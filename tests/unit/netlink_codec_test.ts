import { assert, assertEquals, assertThrows } from "@std/assert";
import { NLM_F, NLMSG } from "../../ffi/abi/rtnetlink.ts";
import { parseAddress } from "../../ffi/netlink/address.ts";
import {
  type Attribute,
  Attributes,
  decodeAttributes,
  encodeAttributes,
  nest,
  NetlinkFormatError,
  raw,
  text,
  u32,
  u8,
  word,
} from "../../ffi/netlink/attributes.ts";
import { parseIp, parseMac, showIp, showMac } from "../../ffi/netlink/ip_address.ts";
import { newVeth, parseLink, setLink } from "../../ffi/netlink/link.ts";
import {
  decodeAnswer,
  decodeMessages,
  encodeMessage,
  fixedPart,
  type NetlinkMessage,
} from "../../ffi/netlink/message.ts";
import { parseNeighbour } from "../../ffi/netlink/neighbour.ts";
import { parseNsid } from "../../ffi/netlink/nsid.ts";
import { parseRoute } from "../../ffi/netlink/route.ts";
import { parseFilter, parseQdisc } from "../../ffi/netlink/traffic.ts";

/** Numbers from a seed (xorshift32), so that a failure can be repeated. */
function numbers(seed: number): (below: number) => number {
  let state = seed | 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

const SEED = crypto.getRandomValues(new Uint32Array(1))[0] ?? 1;

function randomAttributes(random: (below: number) => number, depth: number): Attribute[] {
  return Array.from({ length: random(6) }, () => {
    const type = random(0x3fff);
    if (depth > 0 && random(3) === 0) return nest(type, randomAttributes(random, depth - 1));
    return raw(type, Uint8Array.from({ length: random(40) }, () => random(256)));
  });
}

Deno.test("decodeAttributes() gives back what encodeAttributes() made, 2,000 random trees", () => {
  const random = numbers(SEED);
  for (let round = 0; round < 2000; round++) {
    const attributes = randomAttributes(random, 3);
    const bytes = encodeAttributes(attributes);
    assertEquals(bytes.length % 4, 0);
    assertEquals(
      decodeAttributes(bytes).map(({ type, bytes }) => ({ type, bytes: [...bytes] })),
      attributes.map(({ type, bytes }) => ({ type, bytes: [...bytes] })),
      `seed ${SEED}, round ${round}`,
    );
  }
});

Deno.test("decodeMessages() gives back what encodeMessage() made, several in a datagram", () => {
  const random = numbers(SEED);
  for (let round = 0; round < 500; round++) {
    const messages = Array.from({ length: 1 + random(4) }, () => ({
      type: random(0x10000),
      flags: random(0x10000),
      sequence: random(0x7fffffff),
      body: Uint8Array.from({ length: random(10) * 4 }, () => random(256)),
    }));
    const datagram = Uint8Array.from(
      messages.flatMap((message) => [...encodeMessage(message, message.sequence)]),
    );
    assertEquals(
      decodeMessages(datagram).map((message) => ({ ...message, body: [...message.body] })),
      messages.map((message) => ({ ...message, body: [...message.body] })),
      `seed ${SEED}, round ${round}`,
    );
  }
});

Deno.test("Attributes reads numbers, text and nests, and takes the last of two", () => {
  const bytes = encodeAttributes([
    u32(1, 7),
    u8(2, 255),
    text(3, "eth0"),
    word(4, "veth"),
    nest(5 | 0x8000, [u32(1, 0xffffffff)]),
    u32(1, 8),
  ]);
  const read = new Attributes(bytes);
  assertEquals(read.types(), [1, 2, 3, 4, 5]);
  assertEquals([read.u32(1), read.u8(2), read.text(3), read.text(4)], [8, 255, "eth0", "veth"]);
  assertEquals([read.nested(5).u32(1), read.nested(5).i32(1)], [0xffffffff, -1]);
  assertEquals([read.u32(9), read.text(9), read.nested(9).types()], [undefined, undefined, []]);
  assertThrows(() => read.u32(2), NetlinkFormatError, "1 bytes for a number");
});

Deno.test("decodeAttributes() throws when a length is a lie", () => {
  const lie = (length: number) => Uint8Array.of(length, 0, 1, 0, 0, 0, 0, 0);
  for (const length of [0, 1, 3, 9, 255]) {
    assertThrows(() => decodeAttributes(lie(length)), NetlinkFormatError, `${length} bytes long`);
  }
  assertEquals(decodeAttributes(lie(8)).length, 1);
  assertEquals(decodeAttributes(Uint8Array.of(1, 2, 3)), []); // less than a header
});

Deno.test("decoders throw NetlinkFormatError or give an answer, and never anything else, for hostile bytes", () => {
  const random = numbers(SEED);
  const good = encodeMessage({ ...newVeth("v0", "v1", { mtu: 1500 }), flags: 0 }, 1);
  const parsers: ((message: NetlinkMessage) => unknown)[] = [
    parseLink,
    parseAddress,
    parseRoute,
    parseNeighbour,
    parseQdisc,
    parseFilter,
    parseNsid,
    decodeAnswer,
  ];
  let refused = 0;
  for (let round = 0; round < 20_000; round++) {
    let bytes: Uint8Array;
    if (round % 2 === 0) {
      bytes = Uint8Array.from({ length: random(120) }, () => random(256));
      // As if it were one message, so that its inside is looked at.
      if (bytes.length >= 16) new DataView(bytes.buffer).setUint32(0, bytes.length, true);
    } else {
      bytes = good.slice(0, 1 + random(good.length));
      for (let i = random(6); i >= 0; i--) bytes[random(bytes.length)] = random(256);
      if (bytes.length >= 16 && random(2) === 0) {
        new DataView(bytes.buffer).setUint32(0, bytes.length, true);
      }
    }
    const parse = parsers[round % parsers.length] ?? parseLink;
    try {
      decodeMessages(bytes).forEach((message) => parse(message));
    } catch (error) {
      assert(error instanceof NetlinkFormatError, `seed ${SEED}, round ${round}: ${error}`);
      refused++;
    }
  }
  assert(refused > 1000, `only ${refused} were hostile enough`);
});

Deno.test("decodeAnswer() reads NLMSG_DONE, with and without a number", () => {
  const done = (body: number[]) =>
    decodeAnswer({ type: NLMSG.NLMSG_DONE, flags: 0, sequence: 1, body: Uint8Array.from(body) });
  assertEquals(done([0, 0, 0, 0]), { errno: 0, words: undefined });
  assertEquals(done([]), { errno: 0, words: undefined });
  assertEquals(done([0xfe, 0xff, 0xff, 0xff]).errno, 2);
});

Deno.test("decodeAnswer() and fixedPart() take what has nothing behind its fixed part", () => {
  const body = Uint8Array.from([0xfe, 0xff, 0xff, 0xff, 16, ...new Uint8Array(15)]);
  const error = { type: NLMSG.NLMSG_ERROR, sequence: 1, body };
  for (const flags of [0, NLM_F.NLM_F_ACK_TLVS, NLM_F.NLM_F_ACK_TLVS | NLM_F.NLM_F_CAPPED]) {
    assertEquals(decodeAnswer({ ...error, flags }), { errno: 2, words: undefined });
  }
  assertEquals(fixedPart(body, body.length).rest.types(), []);
  assertThrows(() => fixedPart(body, body.length + 1), NetlinkFormatError, "21 are needed");
});

Deno.test("decodeAnswer() finds the words behind a request that was not left out", () => {
  const words = encodeAttributes([text(1, "no")]);
  const whole = encodeMessage({ type: 16, flags: 5, body: new Uint8Array(12) }, 1);
  const body = Uint8Array.from([0xff, 0xff, 0xff, 0xff, ...whole, ...words]);
  const flags = NLM_F.NLM_F_ACK_TLVS;
  const answer = { type: NLMSG.NLMSG_ERROR, sequence: 1 };
  assertEquals(decodeAnswer({ ...answer, flags, body }), { errno: 1, words: "no" });
  const capped = Uint8Array.from([0xff, 0xff, 0xff, 0xff, ...whole.slice(0, 16), ...words]);
  assertEquals(
    decodeAnswer({ ...answer, flags: flags | NLM_F.NLM_F_CAPPED, body: capped }),
    { errno: 1, words: "no" },
  );
});

Deno.test("showIp() gives back what parseIp() read, and the shortest form", () => {
  for (
    const [given, shown = given] of [
      ["0.0.0.0"],
      ["10.1.2.255"],
      ["::"],
      ["::1"],
      ["1::"],
      ["fd00::1"],
      ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
      ["2001:db8:0:1:1:1:1:1"],
      ["2001:DB8::0A", "2001:db8::a"],
      ["::ffff:1.2.3.4"],
      ["fe80::1:2:3:4"],
    ]
  ) assertEquals(showIp(parseIp(given ?? "")), shown);
  const random = numbers(SEED);
  for (let round = 0; round < 2000; round++) {
    const bytes = Uint8Array.from({ length: 16 }, () => random(3) === 0 ? random(256) : 0);
    assertEquals([...parseIp(showIp(bytes))], [...bytes], showIp(bytes));
  }
});

Deno.test("parseIp() and parseMac() throw when it is no address", () => {
  for (
    const wrong of [
      ...[
        "",
        "1",
        "1.2.3",
        "1.2.3.4.5",
        "1.2.3.256",
        "01.2.3.4",
        "1.2.3.x",
        "-1.2.3.4",
        " 1.2.3.4",
      ],
      ...[":", ":::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7::8", "g::"],
      ...["12345::", "::1.2.3", "1.2.3.4::", "::1.2.3.4:5", "fe80::1%eth0"],
    ]
  ) assertThrows(() => parseIp(wrong), RangeError, "is no IP address");
  for (
    const wrong of [
      "",
      "02:00:00:00:00",
      "02:00:00:00:00:0",
      "02-00-00-00-00-01",
      "0g:00:00:00:00:00",
    ]
  ) {
    assertThrows(() => parseMac(wrong), RangeError, "is no hardware address");
  }
  assertEquals(showMac(parseMac("02:00:00:00:00:Ff")), "02:00:00:00:00:ff");
});

Deno.test("newVeth() and setLink() throw when a name would be cut by the kernel", () => {
  const name = "sixteen-letters!";
  for (
    const make of [() => newVeth(name, "v1"), () => newVeth("v0", name), () => newVeth("", "v1")]
  ) {
    assertThrows(make, RangeError, "a link's name has 1 to 15 bytes");
  }
  assertThrows(() => setLink(1, { name }), RangeError, "15 bytes");
  assertThrows(() => newVeth("a\0b", "v1"), TypeError, "NUL");
});
