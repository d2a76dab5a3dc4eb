// The compiler's word on the kernel's numbers and structs: expressions of C, evaluated with the headers of this machine.
import { assertEquals } from "@std/assert";

const TEXT = new TextDecoder();

/** Evaluates C expressions; those that the headers here do not have are undefined. */
function inC(
  headers: readonly string[],
  expressions: readonly string[],
  newer: readonly string[],
): (bigint | undefined)[] {
  const directory = Deno.makeTempDirSync();
  try {
    const all = expressions.map((each, i) => [i, each] as const);
    const known = all.filter(([, each]) => !newer.includes(each));
    // All at once; one by one only what may not be there, or is missing.
    const found = compile(directory, headers, all) ??
      new Map([
        ...oneByOne(directory, headers, all.filter(([, each]) => newer.includes(each))),
        ...compile(directory, headers, known) ?? oneByOne(directory, headers, known),
      ]);
    return expressions.map((_, i) => found.get(i));
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

function oneByOne(
  directory: string,
  headers: readonly string[],
  wanted: readonly (readonly [number, string])[],
): Map<number, bigint> {
  return new Map(wanted.flatMap((each) => [...compile(directory, headers, [each]) ?? []]));
}

function compile(
  directory: string,
  headers: readonly string[],
  wanted: readonly (readonly [number, string])[],
): Map<number, bigint> | undefined {
  const lines = wanted.map(([i, each]) => `printf("%d %lld\\n", ${i}, (long long)(${each}));`);
  const includes = ["stdio.h", "stddef.h", ...headers].map((each) => `#include <${each}>`);
  Deno.writeTextFileSync(
    `${directory}/t.c`,
    `#define _GNU_SOURCE\n${includes.join("\n")}\nint main(void) { ${lines.join("\n")} return 0; }`,
  );
  const gcc = new Deno.Command("gcc", {
    args: ["-w", "-o", `${directory}/t`, `${directory}/t.c`],
    stderr: "null",
  });
  if (!gcc.outputSync().success) return undefined;
  const { stdout } = new Deno.Command(`${directory}/t`).outputSync();
  const pairs = TEXT.decode(stdout).trim().split("\n").map((line) => line.split(" "));
  return new Map(pairs.map(([i, value = "0"]) => [Number(i), BigInt(value)]));
}

/**
 * Fails for a number that C has otherwise, or does not have.
 * @param newer Names that Debian 12's headers (Linux 6.1) do not have: they are compared where they are there.
 */
export function agree(
  headers: readonly string[],
  expected: Readonly<Record<string, number>>,
  newer: readonly string[] = [],
): void {
  const names = Object.keys(expected);
  const actual = inC(headers, names, newer);
  for (const [i, name] of names.entries()) {
    const theirs = actual[i];
    if (theirs === undefined && newer.includes(name)) continue;
    assertEquals(BigInt(expected[name] ?? -1), theirs, name);
  }
}
