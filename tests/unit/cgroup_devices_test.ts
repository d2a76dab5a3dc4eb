import { assertEquals, assertThrows } from "@std/assert";
import { bpf_prog_attach, bpf_prog_load } from "../../ffi/syscalls/bpf.ts";
import { plain, Struct } from "../../ffi/call.ts";
import { showCall } from "../../ffi/show.ts";
import type { LinuxDevice, LinuxDeviceCgroup } from "../../runtime/spec/types.ts";
import { ValidationError } from "../../runtime/spec/validation_error.ts";
import {
  allows,
  describeException,
  type DeviceList,
  deviceList,
  type DeviceRule,
  deviceRules,
} from "../../runtime/cgroup/device_list.ts";
import { deviceProgram } from "../../runtime/cgroup/device_program.ts";

/** `+c 1:3 rw`: allow; `-a`: deny all. */
function rule(text: string, field = "rule"): DeviceRule {
  const [, sign, type = "a", major = "*", minor = "*", access = "rwm"] =
    /^([+-])([abc])(?: (\d+|\*):(\d+|\*) (\w+))?$/.exec(text) ?? [];
  const number = (part: string) => part === "*" ? -1 : Number(part);
  return {
    field,
    allow: sign === "+",
    type: type as "a" | "b" | "c",
    major: number(major),
    minor: number(minor),
    access,
  };
}

function list(...texts: string[]): DeviceList {
  return deviceList(texts.map((text) => rule(text)));
}

Deno.test("deviceList() keeps what differs from the last rule for all devices", () => {
  const shown = (...texts: string[]) => {
    const { allowed, exceptions } = list(...texts);
    return [allowed, ...exceptions.map(describeException)];
  };
  assertEquals(shown(), [false]);
  assertEquals(shown("+c 1:3 r", "+c 1:3 w"), [false, "c 1:3 rw"]);
  assertEquals(shown("+c 1:3 rw", "-c 1:3 w"), [false, "c 1:3 r"]);
  assertEquals(shown("+c 1:3 rw", "-c 1:3 rwm"), [false]);
  assertEquals(shown("+c 1:3 rw", "-a", "+b *:0 m"), [false, "b *:0 m"]);
  assertEquals(shown("+a", "-c 1:3 w", "+b 8:0 rwm"), [true, "c 1:3 w"]);
  assertEquals(shown("-c 4:4 r", "+a"), [true]);
});

Deno.test("deviceList() refuses a rule that would cut a hole into a wildcard", () => {
  const error = assertThrows(
    () => deviceList([rule("+c 1:* rw", "first"), rule("-c 1:3 w", "second")]),
    ValidationError,
    "cannot except c 1:3 w from the earlier rule for c 1:* rw",
  );
  assertEquals(error.field, "second");
  assertThrows(() => list("+a", "-c *:* r", "+c 1:3 r"), ValidationError);
  // Other access, other type or the same rule: no hole.
  list("+c 1:* r", "-c 1:3 w");
  list("+c 1:* r", "-b 1:3 r");
  list("+c 1:* rw", "-c 1:* w");
});

Deno.test("deviceRules() appends the default devices, but one whose path the spec takes", () => {
  const deny: LinuxDeviceCgroup = {
    allow: false,
    type: "a",
    major: -1,
    minor: -1,
    access: "rwm",
  };
  const { allowed, exceptions } = deviceList(deviceRules([deny], []));
  assertEquals(allowed, false);
  assertEquals(exceptions.map(describeException), [
    "c *:* m",
    "b *:* m",
    "c 1:3 rwm",
    "c 1:8 rwm",
    "c 1:7 rwm",
    "c 5:0 rwm",
    "c 1:5 rwm",
    "c 1:9 rwm",
    "c 136:* rwm",
    "c 5:2 rwm",
    "c 10:200 rwm",
  ]);
  const node: LinuxDevice = {
    path: "/dev/null",
    type: "c",
    major: 9,
    minor: 9,
    fileMode: 0o666,
    uid: 0,
    gid: 0,
  };
  const fewer = deviceList(deviceRules([deny], [node])).exceptions.map(describeException);
  assertEquals(fewer.includes("c 1:3 rwm"), false);
  assertEquals(fewer.includes("c 9:9 rwm"), false);
});

Deno.test("allows() refuses reading and writing at once when writing alone is denied", () => {
  const node = { type: "c", major: 1, minor: 3 } as const;
  const deniedWrite = list("+a", "-c 1:3 w");
  assertEquals(allows(deniedWrite, { ...node, access: 2 }), true);
  assertEquals(allows(deniedWrite, { ...node, access: 6 }), false);
  const twoHalves = list("+c 1:3 r", "+c *:3 w");
  assertEquals(allows(twoHalves, { ...node, access: 4 }), true);
  assertEquals(allows(twoHalves, { ...node, access: 6 }), false);
});

Deno.test("deviceProgram() is these bytes when one device may be read", () => {
  const words = [
    "61 12 00 00 00 00 00 00", // r2 = access_type
    "bc 23 00 00 00 00 00 00", // w3 = w2
    "54 02 00 00 ff ff 00 00", // w2 &= 0xffff
    "74 03 00 00 10 00 00 00", // w3 >>= 16
    "61 14 04 00 00 00 00 00", // r4 = major
    "61 15 08 00 00 00 00 00", // r5 = minor
    "56 02 07 00 02 00 00 00", // if w2 != BPF_DEVCG_DEV_CHAR goto +7
    "56 04 06 00 01 00 00 00", // if w4 != 1 goto +6
    "56 05 05 00 03 00 00 00", // if w5 != 3 goto +5
    "bc 31 00 00 00 00 00 00", // w1 = w3
    "54 01 00 00 02 00 00 00", // w1 &= BPF_DEVCG_ACC_READ
    "5e 31 02 00 00 00 00 00", // if w1 != w3 goto +2
    "b4 00 00 00 01 00 00 00", // w0 = 1
    "95 00 00 00 00 00 00 00", // exit
    "b4 00 00 00 00 00 00 00", // w0 = 0
    "95 00 00 00 00 00 00 00", // exit
  ];
  const bytes = deviceProgram(list("+c 1:3 r"));
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0"));
  assertEquals(hex.join(" "), words.join(" "));
});

Deno.test("deviceProgram() decides as allows() does on random lists and accesses", () => {
  const seed = crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
  const random = generator(seed);
  const number = () => [0, 1, 3, 136, 2 ** 31, 2 ** 32 - 1][random() % 6] ?? 0;
  const wild = () => random() % 3 === 0 ? -1 : number();
  const type = () => random() % 2 === 0 ? "b" as const : "c" as const;
  let denied = 0;
  for (let round = 0; round < 400; round++) {
    const devices: DeviceList = {
      allowed: random() % 2 === 0,
      exceptions: Array.from({ length: random() % 8 }, () => ({
        type: type(),
        major: wild(),
        minor: wild(),
        access: 1 + random() % 7,
      })),
    };
    const program = deviceProgram(devices);
    for (let i = 0; i < 40; i++) {
      const access = { type: type(), major: number(), minor: number(), access: 1 + random() % 7 };
      const expected = allows(devices, access);
      if (!expected) denied++;
      assertEquals(
        interpret(program, access),
        expected,
        `seed ${seed}: ${JSON.stringify({ devices, access })}`,
      );
    }
  }
  assertEquals(denied > 1000, true, "hardly anything was denied: the test is not one");
});

Deno.test("deviceList() lets the last rule that matches win when no wildcard is cut", () => {
  const seed = crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
  const random = generator(seed);
  const letters = "rwm";
  let compared = 0;
  for (let round = 0; round < 4000; round++) {
    const rules = Array.from({ length: 1 + random() % 6 }, () => {
      const sign = random() % 2 === 0 ? "+" : "-";
      if (random() % 5 === 0) return rule(`${sign}a`);
      const part = () => ["*", "1", "2"][random() % 3];
      return rule(`${sign}c ${part()}:${part()} ${letters[random() % 3]}`);
    });
    let devices;
    try {
      devices = deviceList(rules);
    } catch (error) {
      if (error instanceof ValidationError) continue;
      throw error;
    }
    // Exceptions that overlap hide each other's ends: with the narrower first, a wider rule of the other sign does
    // not reach it. Compared is what is unambiguous.
    const exact = rules.every(({ type, major, minor }) => type === "a" || (major > 0 && minor > 0));
    if (!exact) continue;
    for (const [major, minor] of [[1, 1], [1, 2], [2, 1], [2, 2]] as const) {
      for (const [i, access] of [2, 4, 1].entries()) {
        const letter = letters[i] ?? "";
        const last = rules.findLast((each) =>
          each.type === "a" ||
          (each.major === major && each.minor === minor && each.access.includes(letter))
        );
        compared++;
        assertEquals(
          allows(devices, { type: "c", major, minor, access }),
          last?.allow ?? false,
          `seed ${seed}: ${JSON.stringify(rules)} ${major}:${minor} ${letter}`,
        );
      }
    }
  }
  assertEquals(compared > 500, true, "hardly anything was compared: the test is not one");
});

Deno.test("bpf_prog_load() and bpf_prog_attach() lie as linux/bpf.h has them", () => {
  const load = bpf_prog_load(15, new Uint8Array(16), "GPL");
  const [, attr, size] = load.args.map(plain);
  assertEquals(load.args.map(plain)[0], 5);
  assertEquals(size, 72);
  assertEquals((attr as Struct).fields.map(([at, width]) => [at, width]), [
    [0, 4],
    [4, 4],
    [8, 8],
    [16, 8],
  ]);
  assertEquals((attr as Struct).fields[1]?.[2], 2);
  const attach = bpf_prog_attach(7, 8, 6, 2);
  assertEquals((plain(attach.args[1] ?? 0) as Struct).fields, [
    [0, 4, 7],
    [4, 4, 8],
    [8, 4, 6],
    [12, 4, 2],
  ]);
  assertEquals(
    showCall(attach),
    "bpf(BPF_PROG_ATTACH, {cgroup 7, program 8, BPF_CGROUP_DEVICE, BPF_F_ALLOW_MULTI}, 16)",
  );
  assertThrows(() => bpf_prog_load(15, new Uint8Array(9), "GPL"));
});

/** Runs the program; only the instructions that it may contain. */
function interpret(
  program: Uint8Array,
  device: { type: "b" | "c"; major: number; minor: number; access: number },
): boolean {
  const context = [
    (device.access << 16) | (device.type === "b" ? 1 : 2),
    device.major,
    device.minor,
  ];
  const r = new Uint32Array(11);
  const view = new DataView(program.buffer, program.byteOffset, program.length);
  for (let pc = 0, steps = 0; steps < 1000; pc++, steps++) {
    const code = view.getUint8(pc * 8);
    const dst = view.getUint8(pc * 8 + 1) & 15;
    const src = view.getUint8(pc * 8 + 1) >> 4;
    const offset = view.getInt16(pc * 8 + 2, true);
    const imm = view.getInt32(pc * 8 + 4, true);
    const d = r[dst] ?? 0;
    switch (code) {
      case 0x61:
        assertEquals(src, 1);
        r[dst] = context[offset / 4] ?? 0;
        break;
      case 0xb4:
        r[dst] = imm;
        break;
      case 0xbc:
        r[dst] = r[src] ?? 0;
        break;
      case 0x54:
        r[dst] = d & imm;
        break;
      case 0x74:
        r[dst] = d >>> imm;
        break;
      case 0x56:
        if (d !== imm >>> 0) pc += offset;
        break;
      case 0x16:
        if (d === imm >>> 0) pc += offset;
        break;
      case 0x5e:
        if (d !== r[src]) pc += offset;
        break;
      case 0x95:
        return r[0] === 1;
      default:
        throw new Error(`no such instruction: 0x${code.toString(16)}`);
    }
  }
  throw new Error("the program does not end");
}

/** xorshift32. */
function generator(seed: number): () => number {
  let state = seed || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}
