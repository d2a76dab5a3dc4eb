import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { COMMANDS } from "../../runtime/cli/command_table.ts";
import { GLOBAL_FLAGS, readGlobals } from "../../runtime/cli/global_flags.ts";
import { belayHelp, commandHelp } from "../../runtime/cli/help.ts";
import { parseFlags, UnknownFlagError } from "../../runtime/cli/parse_flags.ts";
import { unknownCommand, usageError, wrongArguments } from "../../runtime/cli/usage_error.ts";

function command(name: string) {
  const found = COMMANDS.find((each) => each.name === name);
  assert(found !== undefined);
  return found;
}

Deno.test("COMMANDS holds no name twice, among commands and among the flags of each", () => {
  const names = COMMANDS.map((each) => each.name);
  assertEquals(new Set(names).size, names.length);
  for (const flags of [GLOBAL_FLAGS, ...COMMANDS.map((each) => each.flags)]) {
    const spellings = [...flags, { name: "help", short: "h" }]
      .flatMap(({ name, short }) => short === undefined ? [name] : [name, short]);
    assertEquals(new Set(spellings).size, spellings.length, spellings.join(" "));
  }
});

Deno.test("COMMANDS accepts every command line that clients were seen to use", () => {
  const seen = [
    "create --bundle B --pid-file P --console-socket S ID",
    "create --bundle B --pid-file P --no-new-keyring ID",
    "start ID",
    "ps --format json ID",
    "exec --process F --console-socket S --detach --pid-file P ID",
    "exec --pid-file P --process F --detach --tty --console-socket S ID",
    "delete --force ID",
    "kill --all ID 9",
    "pause ID",
    "resume ID",
    "events --stats ID",
    "events --interval=1s ID",
    "features",
    "update --resources - ID",
    "update --resources=FILE ID",
    "update --memory-swap -1 --pids-limit 5 ID",
    "kill ID 15",
    "state ID",
    "run --bundle B ID",
    "run --detach --no-subreaper --no-pivot --preserve-fds=2 --keep ID",
    "list --format json",
    "list -q",
    "spec --rootless --bundle B",
  ];
  for (const line of seen) {
    const [name = "", ...args] = line.split(" ");
    const { problem, rest } = parseFlags(args, command(name).flags);
    assertEquals(problem, undefined, line);
    const { min, max } = command(name).args;
    assert(rest.length >= min && rest.length <= max, line);
  }
  for (
    const globals of ["--root R --log L --log-format json", "--log=L --log-format=json --debug"]
  ) {
    assertEquals(parseFlags(globals.split(" "), GLOBAL_FLAGS).problem, undefined);
  }
});

Deno.test("belayHelp() names every command and every global flag, in 80 columns", () => {
  const help = belayHelp();
  for (const { name } of COMMANDS) assertStringIncludes(help, `\n  ${name} `);
  for (const { name } of GLOBAL_FLAGS) assertStringIncludes(help, `--${name}`);
  for (const line of help.split("\n")) assert(line.length <= 80, line);
});

Deno.test("commandHelp() names every flag, in 80 columns", () => {
  for (const each of COMMANDS) {
    const help = commandHelp(each);
    for (const { name } of each.flags) assertStringIncludes(help, `--${name}`);
    for (const line of help.split("\n")) assert(line.length <= 80, line);
    assert(!help.includes("undefined"), help);
  }
});

Deno.test("readGlobals() makes the root absolute and normal", () => {
  const root = (given: string) =>
    readGlobals(parseFlags(["--root", given], GLOBAL_FLAGS).flags).root;
  assertEquals(root("/a/../b//c/."), "/b/c");
  assertEquals(root("x"), `${Deno.cwd()}/x`);
});

Deno.test("readGlobals() refuses / as the root, however it is written", () => {
  for (const root of ["/", "//", "/..", "/a/..", "../".repeat(30)]) {
    const { flags } = parseFlags(["--root", root], GLOBAL_FLAGS);
    let message = "";
    try {
      readGlobals(flags);
    } catch (error) {
      message = String(error);
    }
    assertStringIncludes(message, "--root: it must not be /");
  }
});

Deno.test("readGlobals() takes an empty --log and --trace for none", () => {
  const globals = readGlobals(parseFlags(["--log=", "--trace="], GLOBAL_FLAGS).flags);
  assertEquals("log" in globals, false);
  assertEquals("trace" in globals, false);
});

Deno.test("unknownCommand() names the nearest command, or else all", () => {
  assertEquals(unknownCommand(["strat"]).message, 'unknown command "strat": did you mean start?');
  assertStringIncludes(
    unknownCommand(["xyzzy"]).message,
    "the commands are create start exec ps state",
  );
});

Deno.test("unknownCommand() knows runc's commands that belay does not have", () => {
  assertEquals(
    unknownCommand(["checkpoint"]).message,
    '"checkpoint": belay does not have this command of runc yet',
  );
});

Deno.test("usageError() suggests the nearest flag, or where the flag belongs", () => {
  const message = (written: string, name?: string) =>
    usageError(new UnknownFlagError(written), name === undefined ? undefined : command(name))
      .message;
  assertEquals(
    message("--bundel", "run"),
    "belay run: unknown flag --bundel: did you mean --bundle?",
  );
  assertEquals(
    message("-bundle", "run"),
    "belay run: unknown flag -bundle: did you mean --bundle?",
  );
  assertEquals(
    message("--root", "list"),
    "belay list: unknown flag --root: it stands before the command: belay --root … list",
  );
  assertEquals(
    message("--no-pivot"),
    "belay: unknown flag --no-pivot: it is a flag of create, run and stands behind the command",
  );
  assertEquals(message("--xyzzy", "run"), "belay run: unknown flag --xyzzy: see belay run --help");
});

Deno.test("wrongArguments() shows the shape, and a flag that came too late", () => {
  assertEquals(
    wrongArguments(command("start"), []).message,
    "belay start: it needs more arguments: belay start [flags] <container-id>",
  );
  assertStringIncludes(
    wrongArguments(command("delete"), ["id", "--force"]).message,
    "flags such as --force stand before the container id",
  );
});
