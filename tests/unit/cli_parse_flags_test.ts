import { assert, assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import type { Flag } from "../../runtime/cli/command.ts";
import { parseFlags, UnknownFlagError } from "../../runtime/cli/parse_flags.ts";

const FLAGS: readonly Flag[] = [
  { name: "bundle", short: "b", value: "DIR", help: "" },
  { name: "force", short: "f", help: "" },
  { name: "count", value: "N", default: "3", least: 0, help: "" },
  { name: "few", value: "N", least: 0, most: 7, help: "" },
  { name: "format", value: "FORMAT", default: "table", choices: ["table", "json"], help: "" },
  { name: "map", value: "MAP", repeated: true, help: "" },
  { name: "nothing", help: "", noEffect: "because" },
  { name: "never", value: "X", help: "", refused: "not in this life" },
];

function parse(...args: string[]) {
  return parseFlags(args, FLAGS);
}

Deno.test("parseFlags() reads all four ways to give a value", () => {
  for (const args of [["--bundle", "d"], ["--bundle=d"], ["-b", "d"], ["-b=d"]]) {
    const { flags, rest, problem } = parse(...args, "id");
    assertEquals(flags.string("bundle"), "d");
    assertEquals(rest, ["id"]);
    assertEquals(problem, undefined);
  }
});

Deno.test("parseFlags() takes the next argument as the value whatever it looks like", () => {
  assertEquals(parse("--bundle", "--force", "id").flags.string("bundle"), "--force");
  assertEquals(parse("--bundle", "", "id").flags.string("bundle"), "");
  assertEquals(parse("--bundle", "--", "id").flags.string("bundle"), "--");
  assertEquals(parse("--bundle=a=b").flags.string("bundle"), "a=b");
});

Deno.test("parseFlags() stops at the first argument that is no flag", () => {
  const { flags, rest } = parse("id", "--force", "--unknown");
  assertEquals(flags.bool("force"), false);
  assertEquals(rest, ["id", "--force", "--unknown"]);
  assertEquals(parse("-").rest, ["-"]);
});

Deno.test("parseFlags() leaves a container alone that is called true", () => {
  const { flags, rest } = parse("--force", "true");
  assertEquals(flags.bool("force"), true);
  assertEquals(rest, ["true"]);
});

Deno.test("parseFlags() ends the flags at -- and drops it", () => {
  assertEquals(parse("--force", "--", "--bundle").rest, ["--bundle"]);
  assertEquals(parse("id", "--", "x").rest, ["id", "--", "x"]);
});

Deno.test("parseFlags() takes values of booleans by = only", () => {
  assertEquals(parse("--force=false").flags.bool("force"), false);
  assertEquals(parse("-f=1").flags.bool("force"), true);
  assertEquals(
    parse("--force=maybe").problem?.message,
    '--force: "maybe" is neither true nor false',
  );
});

Deno.test("parseFlags() lets the last one win", () => {
  assertEquals(parse("-b", "x", "--bundle", "y").flags.string("bundle"), "y");
});

Deno.test("parseFlags() keeps every value of a repeated flag, in order", () => {
  const { flags } = parse("--map", "x", "--bundle", "d", "--map=y", "--map", "x");
  assertEquals(flags.strings("map"), ["x", "y", "x"]);
  assertEquals(flags.string("map"), "x");
  assertEquals(parse().flags.strings("map"), []);
  assertThrows(() => flags.strings("bundle"), TypeError, "--bundle counts once");
});

Deno.test("parseFlags() fills in defaults and says what was not given", () => {
  const { flags } = parse();
  assertEquals(flags.int("count"), 3);
  assertEquals(flags.string("format"), "table");
  assertEquals(flags.string("bundle"), undefined);
});

Deno.test("parseFlags() refuses values that are not allowed, and names the flag", () => {
  for (const value of ["-1", "x", "1.5", "", "1e3"]) {
    const { problem, flags } = parse("--count", value, "id");
    assertEquals(
      problem?.message,
      `--count: ${JSON.stringify(value)} is not a whole number of at least 0`,
    );
    assertEquals(flags.int("count"), 3);
  }
  for (const [flag, most] of [["count", 999_999_999], ["few", 7]] as const) {
    assertEquals(parse(`--${flag}=${most}`).problem, undefined);
    assertEquals(
      parse(`--${flag}=${most + 1}`).problem?.message,
      `--${flag}: "${most + 1}" is more than ${most}`,
    );
  }
  assertEquals(parse("--format=xml").problem?.message, '--format: "xml" is not one of table, json');
  assertEquals(parse("--bundle").problem?.message, "--bundle: needs a value (DIR)");
  assertEquals(parse("--never", "x").problem?.message, "--never: not in this life");
});

Deno.test("parseFlags() goes on after a problem when it knows the flag", () => {
  const { problem, flags, rest } = parse("--never", "x", "--count=x", "-b", "d", "id");
  assertEquals(problem?.message, "--never: not in this life");
  assertEquals(flags.string("bundle"), "d");
  assertEquals(rest, ["id"]);
});

Deno.test("parseFlags() reports an unknown flag as it was written", () => {
  for (const arg of ["--bundel=x", "--bundel", "-x", "-bundle", "-fb", "---", "--"]) {
    const { problem } = parse(arg, "x");
    if (arg === "--") {
      assertEquals(problem, undefined);
      continue;
    }
    assertInstanceOf(problem, UnknownFlagError);
    assertEquals(problem.written, arg.split("=")[0]);
  }
});

Deno.test("parseFlags() notices --help, also behind other flags and not behind the id", () => {
  assert(parse("-f", "--help").help);
  assert(parse("-h").help);
  assert(!parse("id", "--help").help);
});

Deno.test("parseFlags() hands out flags that have no effect", () => {
  assertEquals(parse("--nothing").withoutEffect.map((flag) => flag.noEffect), ["because"]);
});

Deno.test("ParsedFlags throws when asked for a flag that is not described, or as another kind", () => {
  const { flags } = parse();
  assertThrows(() => flags.string("bundel"), TypeError, "no flag --bundel is described");
  assertThrows(() => flags.bool("bundle"), TypeError, "--bundle is not a boolean");
  assertThrows(() => flags.string("force"), TypeError, "--force is a boolean");
});

Deno.test("parseFlags() never throws, whatever the arguments", () => {
  const pieces = ["--", "-", "=", "bundle", "force", "b", "f", "count", "1", "", "é", "\n", " "];
  let seed = 42;
  const random = (below: number) => {
    seed = (seed * 1103515245 + 12345) % 2 ** 31;
    return seed % below;
  };
  for (let round = 0; round < 2000; round++) {
    const args = Array.from(
      { length: random(6) },
      () => Array.from({ length: random(4) }, () => pieces[random(pieces.length)] ?? "").join(""),
    );
    const { rest, problem } = parseFlags(args, FLAGS);
    assert(problem !== undefined || rest.length <= args.length, JSON.stringify(args));
  }
});

Deno.test("parseFlags() reads flags behind positional arguments where that is allowed, up to --", () => {
  const { flags, rest, problem } = parseFlags(
    ["a", "--bundle", "x", "b", "--", "--force"],
    FLAGS,
    true,
  );
  assertEquals([flags.string("bundle"), flags.bool("force"), rest, problem], [
    ...["x", false, ["a", "b", "--force"], undefined],
  ]);
  assertEquals(parse("a", "--bundle", "x").rest, ["a", "--bundle", "x"]);
});
