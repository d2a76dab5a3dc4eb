import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { COMMANDS } from "../../runtime/cli/command_table.ts";
import { belay, belayPath, inTempDir, run } from "./belay.ts";

Deno.test("belay prints its help when nothing is asked", async () => {
  const { code, stdout, stderr } = await belay([]);
  assertEquals([code, stderr], [0, ""]);
  assertEquals(stdout, (await belay(["--help"])).stdout);
  assertStringIncludes(stdout, "Usage: belay [flags] <command>");
});

for (const { name } of COMMANDS) {
  Deno.test(`belay ${name} --help prints the help of ${name}, whatever else is asked`, async () => {
    const { code, stdout, stderr } = await belay([name, "--help"]);
    assertEquals([code, stderr], [0, ""]);
    assertMatch(stdout, new RegExp(`^belay ${name} - .*\n\nUsage: belay .*${name}`));
    assertEquals((await belay(["help", name])).stdout, stdout);
    assertEquals((await belay([name, "-h", "a", "b", "c"])).stdout, stdout);
  });
}

Deno.test("belay exits with 1 and names what is wrong with the command line", async () => {
  const wrong: readonly (readonly [string, string])[] = [
    ["runn x", 'unknown command "runn": did you mean run?'],
    ["checkpoint --help", '"checkpoint": belay does not have this command of runc yet'],
    ["help runn", 'unknown command "runn": did you mean run?'],
    ["run --bundel x y", "belay run: unknown flag --bundel: did you mean --bundle?"],
    ["run", "belay run: it needs more arguments"],
    ["start a b", 'belay start: too many arguments: "b"'],
    ["run --preserve-fds -1 x", 'belay run: --preserve-fds: "-1" is not a whole number'],
    ["run --bundle", "belay run: --bundle: needs a value (DIR)"],
    ["list --format xml", 'belay list: --format: "xml" is not one of table, json'],
    ["--log-format xml list", 'belay: --log-format: "xml" is not one of text, json'],
    ["--criu /x list", "belay: --criu: belay has no checkpoint and restore"],
    ["--root / list", "--root: it must not be /"],
    ["list --root /x", "belay list: unknown flag --root: it stands before the command"],
  ];
  for (const [line, message] of wrong) {
    const { code, stdout, stderr } = await belay(line.split(" "));
    assertEquals([code, stdout], [1, ""], line);
    const msg = /^time="[\dT:-]+Z" level=error msg=(".*")\n$/.exec(stderr)?.[1];
    assert(msg !== undefined, stderr);
    assertStringIncludes(JSON.parse(msg), message);
  }
});

Deno.test("belay speaks plainly on a terminal, and Deno not at all", async () => {
  const { stdout } = await run(["script", "-qec", `'${belayPath}' runn`, "/dev/null"]);
  assertEquals(stdout, 'error: unknown command "runn": did you mean run?\r\n');
});

Deno.test("belay --log writes JSON that containerd reads, and tells stderr as well", async () => {
  await inTempDir(async (directory) => {
    const log = `${directory}/log.json`;
    for (let round = 1; round <= 2; round++) {
      const { code, stderr } = await belay(["--log", log, "--log-format", "json", "start"]);
      assertEquals(code, 1);
      const lines = Deno.readTextFileSync(log).trimEnd().split("\n");
      assertEquals(lines.length, round);
      const line = JSON.parse(lines.at(-1) ?? "");
      assertEquals(Object.keys(line), ["level", "msg", "time"]);
      assertEquals(line.level, "error");
      assertEquals(`${line.msg}\n`, stderr);
      assertMatch(line.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    }
    assertEquals((Deno.statSync(log).mode ?? 0) & 0o777, 0o644 & ~Deno.umask());
  });
});

Deno.test("belay --log is there, empty, when a command has nothing to say", async () => {
  await inTempDir(async (directory) => {
    const log = `${directory}/log.json`;
    const root = `${directory}/root`;
    assertEquals((await belay(["--root", root, "--log", log, "list"])).code, 0);
    assertEquals(Deno.readTextFileSync(log), "");
    // Where it cannot be, nothing is refused: a container is not left because its log's directory is gone.
    const gone = `${directory}/gone/log.json`;
    const { code, stderr } = await belay(["--root", root, "--log", gone, "list"]);
    assertEquals({ code, stderr }, { code: 0, stderr: "" });
  });
});

Deno.test("belay --log gets problems with flags, too, also with flags before --log", async () => {
  await inTempDir(async (directory) => {
    const log = `${directory}/log`;
    await belay(["--criu", "/x", "--log", log, "create", "x"]);
    await belay(["--log", log, "create", "--bogus"]);
    const text = Deno.readTextFileSync(log);
    assertStringIncludes(text, "--criu: belay has no checkpoint and restore");
    assertStringIncludes(text, "unknown flag --bogus");
  });
});

Deno.test("belay tells stderr why --log could not be written", async () => {
  const { code, stderr } = await belay(["--log", "/nonexistent/log", "start"]);
  assertEquals(code, 1);
  assertStringIncludes(stderr, "it needs more arguments");
  assertStringIncludes(stderr, "belay: --log /nonexistent/log: No such file or directory");
});

Deno.test("belay --debug shows where an error comes from, and without it does not", async () => {
  assertMatch(
    (await belay(["--debug", "runn"])).stderr,
    /level=debug msg="CommandError: .*\\n {4}at /,
  );
  assertEquals((await belay(["runn"])).stderr.split("\n").length, 2);
});

Deno.test("belay ends quietly, as if by SIGPIPE, when nobody reads its output", async () => {
  const script = `exec 3>&1; { "$0" --help 2>&3; echo "code $?" >&3; } | true`;
  const { stdout, stderr } = await run(["bash", "-c", `sleep 0; ${script}`, belayPath]);
  // `true` may end before belay writes, or after: both are right, a stack trace never is.
  assertMatch(stdout, /^code (141|0)\n$/);
  assertEquals(stderr, "");
});

Deno.test("belay fails when its output cannot be written", async () => {
  const { stdout, stderr } = await run([
    "sh",
    "-c",
    '"$0" --help >/dev/full; echo "code $?"',
    belayPath,
  ]);
  assertEquals(stdout, "code 1\n");
  assertStringIncludes(stderr, "No space left on device");
});

Deno.test("belay spec writes config.json as runc does, and never over another", async () => {
  await inTempDir(async (directory) => {
    assertEquals(await belay(["spec"], { cwd: directory }), { code: 0, stdout: "", stderr: "" });
    const path = `${directory}/config.json`;
    const text = Deno.readTextFileSync(path);
    assertEquals(text, JSON.stringify(JSON.parse(text), null, "\t"));
    for (const args of [["spec"], ["spec", "--bundle", "."], ["spec", "-b", directory]]) {
      const { code, stderr } = await belay(args, { cwd: directory });
      assertEquals(code, 1);
      assertStringIncludes(stderr, "File config.json exists. Remove it first");
    }
    assertEquals(Deno.readTextFileSync(path), text);
    Deno.mkdirSync(`${directory}/rootless`);
    await belay(["spec", "--rootless", "-b", "rootless"], { cwd: directory });
    const rootless = JSON.parse(Deno.readTextFileSync(`${directory}/rootless/config.json`));
    assertEquals(rootless.linux.uidMappings[0].hostID, Deno.uid());
  });
});

Deno.test("belay spec follows no symbolic link", async () => {
  await inTempDir(async (directory) => {
    Deno.symlinkSync(`${directory}/elsewhere`, `${directory}/config.json`);
    assertEquals((await belay(["spec"], { cwd: directory })).code, 1);
    assertEquals([...Deno.readDirSync(directory)].map(({ name }) => name), ["config.json"]);
  });
});
