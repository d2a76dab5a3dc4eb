// D-Bus messages: against what busctl sent, there and back at random, and against bytes that nobody should send.
import { assert, assertEquals, assertThrows } from "@std/assert";
import { parseBusAddress } from "../../ffi/dbus/address.ts";
import { decodeValues } from "../../ffi/dbus/decode.ts";
import { type DbusValue, encodeValues, LARGEST_MESSAGE, Variant } from "../../ffi/dbus/encode.ts";
import {
  dbusLength,
  type DbusMessage,
  decodeDbus,
  encodeDbus,
  MESSAGE,
} from "../../ffi/dbus/message.ts";
import { DbusFormatError, splitSignature } from "../../ffi/dbus/signature.ts";
import { generator } from "../random.ts";

function bytesOf(hex: string): Uint8Array {
  return new Uint8Array(hex.match(/../g)?.map((each) => parseInt(each, 16)) ?? []);
}

/** Sent by busctl 252 (systemd 252.38-1~deb12u1). */
const HELLO = bytesOf(
  "6c01000100000000010000006d00000001016f00150000002f6f72672f667265656465736b746f702f444275730000000301730005000000" +
    "48656c6c6f00000002017300140000006f72672e667265656465736b746f702e444275730000000006017300140000006f72672e66726565" +
    "6465736b746f702e4442757300000000",
);

/**
 * `busctl --auto-start=no call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager
 * StartTransientUnit 'ssa(sv)a(sa(sv))' belay-x.scope replace 6 Description s one Delegate b true PIDs au 1 42 MemoryMax
 * t 18446744073709551615 AllowedCPUs ay 2 3 1 DeviceAllow 'a(ss)' 1 /dev/char/1:3 rwm 0`
 */
const START = bytesOf(
  "6c010601f800000002000000b600000001016f00190000002f6f72672f667265656465736b746f702f73797374656d643100000000000000" +
    "030173001200000053746172745472616e7369656e74556e697400000000000002017300200000006f72672e667265656465736b746f702e" +
    "73797374656d64312e4d616e61676572000000000000000006017300180000006f72672e667265656465736b746f702e73797374656d6431" +
    "00000000000000000801670010737361287376296128736128737629290000000d00000062656c61792d782e73636f706500000007000000" +
    "7265706c61636500cc000000000000000b0000004465736372697074696f6e0001730000030000006f6e6500000000000800000044656c65" +
    "6761746500016200010000000000000004000000504944730002617500000000040000002a000000090000004d656d6f72794d6178000174" +
    "0000000000000000ffffffffffffffff0b000000416c6c6f7765644350557300026179000200000003010000000000000b00000044657669" +
    "6365416c6c6f770005612873732900001c000000000000000d0000002f6465762f636861722f313a330000000300000072776d0000000000",
);

const BUS = "org.freedesktop.DBus";
const hello: DbusMessage = {
  ...{ type: MESSAGE.CALL, flags: 0, serial: 1, path: "/org/freedesktop/DBus" },
  ...{ interface: BUS, member: "Hello", destination: BUS, body: [] },
};
const start: DbusMessage = {
  ...{ type: MESSAGE.CALL, flags: 6, serial: 2, path: "/org/freedesktop/systemd1" },
  ...{ interface: "org.freedesktop.systemd1.Manager", member: "StartTransientUnit" },
  ...{ destination: "org.freedesktop.systemd1", signature: "ssa(sv)a(sa(sv))" },
  body: ["belay-x.scope", "replace", [
    ["Description", new Variant("s", "one")],
    ["Delegate", new Variant("b", true)],
    ["PIDs", new Variant("au", [42])],
    ["MemoryMax", new Variant("t", 0xffff_ffff_ffff_ffffn)],
    ["AllowedCPUs", new Variant("ay", new Uint8Array([3, 1]))],
    ["DeviceAllow", new Variant("a(ss)", [["/dev/char/1:3", "rwm"]])],
  ], []],
};

Deno.test("decodeDbus() reads what busctl sends", () => {
  assertEquals(decodeDbus(HELLO), hello);
  assertEquals(decodeDbus(START), start);
});

Deno.test("encodeDbus() lays bodies out as busctl does, and messages as long", () => {
  // The fields of a header may be in any order, and are: the bodies are compared byte by byte.
  for (const [message, bytes] of [[hello, HELLO], [start, START]] as const) {
    const encoded = encodeDbus(message);
    assertEquals(encoded.length, bytes.length);
    assertEquals(decodeDbus(encoded), message);
    const length = new DataView(bytes.buffer).getUint32(4, true);
    assertEquals(encoded.slice(encoded.length - length), bytes.slice(bytes.length - length));
  }
});

Deno.test("decodeDbus() reads big-endian messages and skips fields that it does not know", () => {
  // By hand: a signal, serial 0x01020304, a field 200 of type u, and a body of one u.
  const bytes = bytesOf(
    "4204000100000004010203040000001d" + "c801750000000007" + "0801670001750000" +
      "0301730000000004" + "6a6f627300000000" + "cafebabe",
  );
  const message = decodeDbus(bytes);
  assertEquals(message, {
    ...{ type: MESSAGE.SIGNAL, flags: 0, serial: 0x01020304, member: "jobs", signature: "u" },
    body: [0xcafebabe],
  });
});

/** A random type, and a value of it. */
function randomOf(random: (n: number) => number, depth: number): [string, DbusValue] {
  const text = () => ["", "x", "ä€𐍈", "/org/x", "a".repeat(random(40))][random(5)] ?? "";
  const pick = random(depth > 3 ? 12 : 16);
  switch (pick) {
    case 0:
      return ["y", random(256)];
    case 1:
      return ["b", random(2) === 1];
    case 2:
      return ["n", random(65536) - 32768];
    case 3:
      return ["q", random(65536)];
    case 4:
      return ["i", random(0x7fffffff) - 0x40000000];
    case 5:
      return ["u", random(0xffffffff)];
    case 6:
      return ["x", -BigInt(random(0x7fffffff)) << 20n];
    case 7:
      return ["t", BigInt(random(0x7fffffff)) << 33n];
    case 8:
      return ["d", random(1000) / 8];
    case 9:
      return ["s", text()];
    case 10:
      return ["o", text()];
    case 11:
      return ["g", "a(sv)"];
    case 12: {
      const [type, value] = randomOf(random, depth + 1);
      return ["v", new Variant(type, value)];
    }
    case 13: {
      const bytes = Uint8Array.from({ length: random(9) }, () => random(256));
      return ["ay", bytes];
    }
    case 14: {
      const [type, value] = randomOf(random, depth + 1);
      if (type === "y") return ["ay", new Uint8Array([Number(value)])];
      return [`a${type}`, Array.from({ length: random(4) }, () => value)];
    }
    default: {
      const members = Array.from({ length: 1 + random(3) }, () => randomOf(random, depth + 1));
      return [`(${members.map(([type]) => type).join("")})`, members.map(([, value]) => value)];
    }
  }
}

Deno.test("decodeValues() gives back what encodeValues() laid out, for 2000 random values", () => {
  const random = generator(20261126);
  for (let i = 0; i < 2000; i++) {
    const made = Array.from({ length: random(4) }, () => randomOf(random, 0));
    const signature = made.map(([type]) => type).join("");
    if (signature.length > 255) continue;
    const values = made.map(([, value]) => value);
    assertEquals(decodeValues(signature, encodeValues(signature, values)), values, signature);
  }
});

Deno.test("decodeDbus() refuses damaged messages with a DbusFormatError, or reads them", () => {
  const random = generator(7);
  let refused = 0;
  for (let i = 0; i < 20_000; i++) {
    const bytes = START.slice(0, random(8) === 0 ? random(START.length) : START.length);
    for (let n = 1 + random(4); n > 0 && bytes.length > 0; n--) {
      bytes[random(bytes.length)] = random(3) === 0 ? 0xff : random(256);
    }
    try {
      decodeDbus(bytes);
    } catch (error) {
      assert(error instanceof DbusFormatError, String(error));
      refused++;
    }
  }
  assert(refused > 1000, `${refused} refused`);
});

Deno.test("dbusLength() waits for a header, and refuses a message that is too long", () => {
  assertEquals(dbusLength(START.subarray(0, 15)), undefined);
  assertEquals(dbusLength(START.subarray(0, 16)), START.length);
  const long = START.slice(0, 16);
  new DataView(long.buffer).setUint32(4, LARGEST_MESSAGE, true);
  assertThrows(() => dbusLength(long), DbusFormatError, "a message of");
  assertThrows(() => dbusLength(new Uint8Array(16)), DbusFormatError, "endian");
});

Deno.test("encodeValues() refuses values that do not fit", () => {
  const wrong: [string, DbusValue][] = [
    ["y", 256],
    ["u", -1],
    ["u", 1.5],
    ["t", -1n],
    ["x", 1n << 63n],
    ["b", 1],
    ["s", "a\0b"],
    ["s", 1],
    ["v", "x"],
    ["v", new Variant("ss", "x")],
    ["as", "x"],
    ["(ss)", ["x"]],
  ];
  for (const [type, value] of wrong) {
    assertThrows(() => encodeValues(type, [value]), DbusFormatError, "cannot be", type);
  }
  assertThrows(() => encodeValues("s", []), DbusFormatError, "1 types for 0 values");
  const huge = "x".repeat(LARGEST_MESSAGE);
  assertThrows(() => encodeValues("s", [huge]), DbusFormatError, "more than 1 MiB");
});

Deno.test("splitSignature() splits, and refuses what is no signature", () => {
  assertEquals(splitSignature("sa{sv}a(sa(sv))ay"), ["s", "a{sv}", "a(sa(sv))", "ay"]);
  for (
    const bad of ["a", "(", "()", "(s", "a{s}", "a{vs}", "{sv}", "z", "s)", "a{sv", "a".repeat(40)]
  ) {
    assertThrows(() => splitSignature(bad), DbusFormatError, "", bad);
  }
  assertThrows(() => splitSignature("s".repeat(256)), DbusFormatError);
});

Deno.test("parseBusAddress() finds the first unix socket", () => {
  const cases: [string, unknown][] = [
    ["unix:path=/run/dbus/system_bus_socket", { path: "/run/dbus/system_bus_socket" }],
    ["unix:path=/run/user/1/b%20s,guid=0123", { path: "/run/user/1/b s" }],
    ["unix:guid=0123,abstract=/tmp/x", { abstract: "/tmp/x" }],
    ["tcp:host=x,port=1;unix:path=/a", { path: "/a" }],
    ["unix:runtime=yes;unix:path=/b;unix:path=/c", { path: "/b" }],
    ["tcp:host=x,port=1", undefined],
    ["unix:path=relative", undefined],
    ["unix:path=/x%00y", undefined],
    ["unix:path=/x%zz", undefined],
    ["", undefined],
  ];
  for (const [address, expected] of cases) {
    assertEquals(parseBusAddress(address), expected, address);
  }
});
