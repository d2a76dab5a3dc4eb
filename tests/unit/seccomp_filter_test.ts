import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { libseccompVersion, resolveArch, resolveSyscall, SCMP_ACT } from "../../ffi/libseccomp.ts";
import { ERRNO } from "../../ffi/abi/errno.ts";
import { SOCK_FILTER_SIZE } from "../../ffi/syscalls/seccomp.ts";
import { compileFilter } from "../../runtime/seccomp/compile_filter.ts";
import { BPF_OP, runFilter } from "../../runtime/seccomp/run_filter.ts";
import { SECCOMP } from "../../runtime/spec/seccomp_schema.ts";
import type { LinuxSeccomp } from "../../runtime/spec/types.ts";
import { ValidationError } from "../../runtime/spec/validation_error.ts";
import "../ffi_world.ts";
import { generator } from "../random.ts";
import { noLibrary, type Obstacle, testUnless } from "../skip.ts";
import { ARCHES, expected } from "./seccomp_oracle.ts";

const SEED = Number(Deno.env.get("BELAY_SEED") ?? 20261126);
const ROUNDS = Number(Deno.env.get("BELAY_ROUNDS") ?? 150);

const missing = noLibrary("libseccomp.so.2", "libseccomp2");
const notX86: Obstacle = Deno.build.arch === "x86_64" ? undefined : "looks at x86_64's sisters";
// Opened once: Deno's resource sanitizer takes a library that is opened inside a test for a leak.
if (missing === undefined) libseccompVersion();

const profile = (json: object): LinuxSeccomp => SECCOMP.parse(json, "linux.seccomp", []);
const allow = (...names: string[]) => ({ names, action: "SCMP_ACT_ALLOW" });

/** System calls that every architecture of the tests has, and that come alone (not through socketcall or ipc). */
const NAMES = [
  ...["getpid", "personality", "lseek", "dup", "kill", "umask", "sync", "fsync", "setsid"],
  ...["getppid", "fchmod", "close", "read", "write", "unshare", "setns", "memfd_create", "seccomp"],
];
const ACTIONS = [
  ...["ALLOW", "LOG", "KILL", "KILL_THREAD", "KILL_PROCESS", "TRAP", "ERRNO", "TRACE", "NOTIFY"],
].map((name) => `SCMP_ACT_${name}`);
const OPS = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"].map((name) => `SCMP_CMP_${name}`);
const VALUES = [0n, 1n, 2n, 0x1ffn, 0x7fffffffn, 0xffffffffn];
const WIDE = [...VALUES, 0x100000000n, 0x1_0000_0001n, 0x8000_0000_0000_0000n, 2n ** 64n - 1n];

type Random = (limit: number) => number;

function pick<T>(random: Random, from: readonly T[]): T {
  const picked = from[random(from.length)];
  if (picked === undefined) throw new Error("nothing to pick from");
  return picked;
}

/**
 * Comparisons. Where an argument is compared twice, for equality: of `<= 2` and `> 2^32`, two rules for one call,
 * libseccomp 2.5.4 makes a filter that takes 3 for a match (docs/seccomp.md).
 */
function someArgs(random: Random, values: readonly bigint[]): object[] {
  const indices = Array.from({ length: Math.max(0, random(5) - 1) }, () => random(3));
  const once = new Set(indices).size === indices.length;
  return indices.map((index) => {
    const [op, value] = [once ? pick(random, OPS) : "SCMP_CMP_EQ", pick(random, values.slice(1))];
    const valueTwo = op === "SCMP_CMP_MASKED_EQ" ? pick(random, values) & value : 0n;
    return { index, op, value, valueTwo };
  });
}

/** A profile under which a program can begin, of rules that do not overlap. */
function someProfile(random: Random, values: readonly bigint[]): LinuxSeccomp {
  const names = NAMES.filter(() => random(2) === 0);
  const syscalls = names.map((name) => {
    const action = pick(random, ACTIONS);
    const number = /ERRNO|TRACE/.test(action) && random(2) === 0 ? { errnoRet: random(4095) } : {};
    return { names: [name], action, ...number, args: someArgs(random, values) };
  });
  const [defaultAction, architectures] = [
    pick(random, ACTIONS),
    ["X86_64", "X86", "X32", "AARCH64"].filter(() => random(2) === 0),
  ];
  return profile({
    defaultAction,
    ...(defaultAction === "SCMP_ACT_ERRNO" && random(2) === 0 ? { defaultErrnoRet: 38 } : {}),
    architectures: architectures.map((name) => `SCMP_ARCH_${name}`),
    listenerPath: "/run/agent",
    syscalls: [...syscalls, allow("execve", "sendmsg")],
  });
}

function compiled(made: LinuxSeccomp, round: number): Uint8Array {
  try {
    return compileFilter(made);
  } catch (cause) {
    throw new Error(`seed ${SEED}, round ${round}: ${JSON.stringify(made)}`, { cause });
  }
}

testUnless(
  [missing, notX86],
  "compileFilter() answers as the profile says when asked for any call, on any architecture",
  () => {
    const random = generator(SEED);
    let compared = 0;
    for (let round = 0; round < ROUNDS; round++) {
      // libseccomp compares 32 bits on 32-bit architectures: there, nothing wider is asked for.
      const wide = round % 2 === 0;
      const made = someProfile(random, wide ? WIDE : VALUES);
      const filter = compiled(made, round);
      for (const name of wide ? ["x86_64", "aarch64"] : Object.keys(ARCHES)) {
        const numbers = [...NAMES, "execve", "openat2", "mount"]
          .map((call) => resolveSyscall(call, resolveArch(name)) ?? -1).filter((nr) => nr >= 0);
        for (const nr of [...numbers, 5000, 0x40000000 + 5000]) {
          const args = Array.from({ length: 6 }, () => pick(random, wide ? WIDE : VALUES));
          const data = { nr, arch: ARCHES[name] ?? 0, args };
          const say = (value: number) => `0x${value.toString(16)}`;
          assertEquals(
            say(runFilter(filter, data)),
            say(expected(made, data)),
            `seed ${SEED}, round ${round}: ${name} ${nr} (${args}) of ${JSON.stringify(made)}`,
          );
          compared++;
        }
      }
    }
    assert(compared > ROUNDS * 20, `${compared}`);
  },
);

testUnless(missing, "compileFilter() names the field when libseccomp or belay refuses", () => {
  const refusal = (json: object) =>
    assertThrows(() => compileFilter(profile(json)), ValidationError);
  const rules = (...syscalls: object[]) => ({ defaultAction: "SCMP_ACT_ALLOW", syscalls });
  const architectures = ["SCMP_ARCH_X86_64", "SCMP_ARCH_M68K"];
  const unknown = resolveArch("m68k") === 0;
  if (unknown) {
    assertEquals(refusal({ ...rules(), architectures }).field, "linux.seccomp.architectures[1]");
  }
  for (const action of ["SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_TRAP", "SCMP_ACT_TRACE"]) {
    const error = refusal(rules({ names: ["execve"], action }));
    assertStringIncludes(error.message, "must allow execve");
    assertStringIncludes(refusal({ defaultAction: action }).message, "must allow execve");
  }
  compileFilter(profile(rules({ names: ["execve"], action: "SCMP_ACT_LOG" })));
  const listenerPath = "/run/agent";
  for (const action of ["SCMP_ACT_ERRNO", "SCMP_ACT_NOTIFY"]) {
    const both = rules({ names: ["getpid"], action: "SCMP_ACT_NOTIFY" }, {
      names: ["sendmsg"],
      action,
    });
    assertStringIncludes(refusal({ ...both, listenerPath }).message, "must allow sendmsg");
  }
});

testUnless(missing, "compileFilter() passes names over when nobody has such a call", () => {
  const [known, more] = [["getpid"], ["getpid", "no_such_call", "also_not"]].map((names) =>
    compileFilter(profile({
      defaultAction: "SCMP_ACT_ALLOW",
      syscalls: [{ names, action: "SCMP_ACT_LOG" }],
    }))
  );
  assertEquals(known, more);
});

testUnless(missing, "compileFilter() makes a tree when a profile has many rules", () => {
  const names = Array.from({ length: 400 }, (_, nr) => nr).flatMap((nr) => nameOf(nr) ?? []);
  const of = (count: number) =>
    compileFilter(profile({
      defaultAction: "SCMP_ACT_ERRNO",
      syscalls: [allow("execve"), allow(...names.slice(0, count))],
    }));
  const steps = (filter: Uint8Array, nr: number) =>
    runFilter(filter, { nr, arch: resolveArch(Deno.build.arch) });
  const many = of(names.length);
  const last = resolveSyscall(names.at(-1) ?? "", 0) ?? 0;
  for (let nr = 0; nr < 400; nr++) {
    const allowed = names.includes(nameOf(nr) ?? "") || nr === resolveSyscall("execve", 0);
    const { SCMP_ACT_ALLOW, SCMP_ACT_ERRNO } = SCMP_ACT;
    const refused = SCMP_ACT_ERRNO | (nr > last ? ERRNO.ENOSYS : ERRNO.EPERM);
    assertEquals(steps(many, nr), allowed ? SCMP_ACT_ALLOW : refused, `${nr}`);
  }
});

/** Names by number, from the calls that the tests know. */
function nameOf(nr: number): string | undefined {
  return TABLE.find((name) => resolveSyscall(name, 0) === nr);
}

const TABLE = [
  ...["read", "write", "close", "lseek", "mmap", "mprotect", "munmap", "brk", "ioctl", "readv"],
  ...["writev", "dup", "nanosleep", "getpid", "socket", "connect", "bind", "listen", "clone"],
  ...["execve", "exit", "wait4", "kill", "uname", "fcntl", "flock", "fsync", "getcwd", "chdir"],
  ...["umask", "getuid", "setuid", "setsid", "mount", "sync", "openat", "mkdirat", "unshare"],
];

Deno.test("runFilter() does what classic BPF says of each instruction", () => {
  const { LD_W_ABS, ALU_AND_K, JMP_JA, JMP_JEQ_K, JMP_JGT_K, JMP_JGE_K, JMP_JSET_K, RET_K } =
    BPF_OP;
  /** Loads a word, and answers 1 when the jump is taken, 2 when not. */
  const answer = (offset: number, op: number, k: number): number => {
    const code = [[LD_W_ABS, offset], [op, k, 0, 1], [RET_K, 1], [RET_K, 2]];
    return runFilter(program(code), { nr: 6, arch: 0xc000003e, args: [0x1_8000_0003n] });
  };
  const [NR, ARCH, ARG0_LOW, ARG0_HIGH] = [0, 4, 16, 20];
  for (
    const [offset, op, k, expected] of [
      ...[[NR, JMP_JEQ_K, 6, 1], [NR, JMP_JEQ_K, 7, 2], [ARCH, JMP_JEQ_K, 0xc000003e, 1]],
      ...[[NR, JMP_JGT_K, 5, 1], [NR, JMP_JGT_K, 6, 2], [ARG0_LOW, JMP_JGT_K, 0x7fffffff, 1]],
      ...[[NR, JMP_JGE_K, 6, 1], [NR, JMP_JGE_K, 7, 2], [ARG0_HIGH, JMP_JGE_K, 1, 1]],
      ...[[NR, JMP_JSET_K, 2, 1], [NR, JMP_JSET_K, 9, 2], [ARG0_LOW, JMP_JSET_K, 0x80000000, 1]],
    ] as const
  ) assertEquals(answer(offset, op, k), expected, `${offset} ${op} ${k}`);
  const masked = [[LD_W_ABS, ARG0_LOW], [ALU_AND_K, 0x80000001], [JMP_JEQ_K, 0x80000001, 0, 1]];
  const jump = [[JMP_JA, 1], [RET_K, 3], [RET_K, 4]];
  const data = { nr: 6, arch: 0, args: [0x1_8000_0003n] };
  assertEquals(runFilter(program([...masked, ...jump]), data), 4);
});

/** Instructions as struct sock_filter: operation, k, and how many to skip when true and when false. */
function program(code: readonly (readonly number[])[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(code.length * SOCK_FILTER_SIZE));
  code.forEach(([op = 0, k = 0, ifTrue = 0, ifFalse = 0], i) => {
    view.setUint16(i * SOCK_FILTER_SIZE, op, true);
    view.setUint8(i * SOCK_FILTER_SIZE + 2, ifTrue);
    view.setUint8(i * SOCK_FILTER_SIZE + 3, ifFalse);
    view.setUint32(i * SOCK_FILTER_SIZE + 4, k, true);
  });
  return new Uint8Array(view.buffer);
}

Deno.test("runFilter() throws when a program does not end or has a strange instruction", () => {
  const data = { nr: 0, arch: 0 };
  assertThrows(() => runFilter(new Uint8Array(0), data), Error, "does not end");
  assertThrows(() => runFilter(new Uint8Array(8), data), Error, "does not know");
});
