import { assert, assertEquals } from "@std/assert";
import { ERRNO, errnoName, strerror } from "../../ffi/abi/errno.ts";
import { parseSignal, SIGNAL, signalName } from "../../ffi/abi/signals.ts";
import { syscallNames, syscallNumber } from "../../ffi/abi/syscall_numbers.ts";
import { noFile, testUnless } from "../skip.ts";

const UNISTD_X86_64 = "/usr/include/x86_64-linux-gnu/asm/unistd_64.h";
const UNISTD_GENERIC = "/usr/include/asm-generic/unistd.h";

/** The `#define`s of a header, as far as they are plain numbers. */
function defines(path: string, prefix: string): Map<string, number> {
  const pattern = new RegExp(`^#define\\s+${prefix}(\\w+)\\s+(\\d+|0x[0-9a-f]+)\\b`, "gm");
  const text = Deno.readTextFileSync(path);
  return new Map(
    [...text.matchAll(pattern)].map(([, name = "", number]) => [name, Number(number)]),
  );
}

function compareNumbers(header: string, arch: "x86_64" | "aarch64"): void {
  const known = defines(header, "__NR_");
  // asm-generic has some under another name, for the sake of 32-bit machines.
  for (const [name, number] of defines(header, "__NR3264_")) known.set(name, number);
  let compared = 0;
  for (const name of syscallNames()) {
    const expected = known.get(name);
    if (expected === undefined) continue; // newer than the header
    assertEquals(syscallNumber(name, arch), expected, name);
    compared++;
  }
  // The header may be older than the newest calls, not much more.
  assert(compared > syscallNames().length - 10, `only ${compared} were in ${header}`);
}

testUnless(noFile(UNISTD_X86_64), "syscallNumber() agrees with the headers when on x86_64", () => {
  compareNumbers(UNISTD_X86_64, "x86_64");
});

testUnless(
  noFile(UNISTD_GENERIC),
  "syscallNumber() agrees with the headers when on aarch64",
  () => {
    compareNumbers(UNISTD_GENERIC, "aarch64");
  },
);

Deno.test("syscallNumber() is the same for two calls when they are one call only", () => {
  for (const arch of ["x86_64", "aarch64"] as const) {
    const numbers = syscallNames().map((name) => syscallNumber(name, arch));
    assertEquals(new Set(numbers).size, numbers.length, arch);
  }
});

testUnless(
  noFile("/usr/include/asm-generic/errno.h"),
  "ERRNO agrees with the headers when they are there",
  () => {
    const known = new Map([
      ...defines("/usr/include/asm-generic/errno-base.h", ""),
      ...defines("/usr/include/asm-generic/errno.h", ""),
    ]);
    for (const [name, number] of Object.entries(ERRNO)) assertEquals(number, known.get(name), name);
  },
);

Deno.test("errnoName() and strerror() speak the kernel's and people's language when asked", () => {
  assertEquals(errnoName(2), "ENOENT");
  assertEquals(strerror(2), "no such file or directory");
  assertEquals(errnoName(4711), "errno 4711");
  assertEquals(strerror(4711), "unknown error 4711");
  for (const number of Object.values(ERRNO)) assert(!strerror(number).startsWith("unknown"));
});

testUnless(
  noFile("/usr/include/asm-generic/signal.h"),
  "SIGNAL agrees with the headers when they are there",
  () => {
    const known = defines("/usr/include/asm-generic/signal.h", "SIG");
    for (const [name, number] of Object.entries(SIGNAL)) {
      assertEquals(number, known.get(name.slice(3)), name);
    }
  },
);

Deno.test("parseSignal() finds a signal when it is written as people do", () => {
  const cases: readonly (readonly [string, number | undefined])[] = [
    ["9", 9],
    ["KILL", 9],
    ["SIGKILL", 9],
    ["sigkill", 9],
    ["term", 15],
    ["SIGPOLL", 29],
    ["CLD", 17],
    ["RTMIN", 34],
    ["SIGRTMIN+3", 37],
    ["rtmax-1", 63],
    ["64", 64],
  ];
  for (const [text, number] of cases) assertEquals(parseSignal(text), number, text);
});

Deno.test("parseSignal() finds none when there is none", () => {
  const none = ["0", "65", "-9", "", "SIG", "NOPE", "9 ", "0x9", "RTMIN-1", "RTMAX+1", "RTMIN+999"];
  for (const text of none) assertEquals(parseSignal(text), undefined, text);
  assertEquals(parseSignal("constructor"), undefined);
});

Deno.test("signalName() gives back what parseSignal() takes when the signal exists", () => {
  for (let number = 1; number <= 64; number++) {
    if (number === 32 || number === 33) continue; // glibc's own
    assertEquals(parseSignal(signalName(number)), number);
  }
  assertEquals(signalName(0), "0");
});
