// What exec's flags change of the container's process: nothing but what they say.
import { assertEquals, assertRejects } from "@std/assert";
import { COMMANDS } from "../../runtime/cli/command_table.ts";
import { CommandError } from "../../runtime/cli/command_error.ts";
import { parseFlags } from "../../runtime/cli/parse_flags.ts";
import { Logger } from "../../runtime/log/logger.ts";
import { addedProcess } from "../../runtime/process/added_process.ts";
import type { Process } from "../../runtime/spec/types.ts";
import type { StoredProcess } from "../../runtime/state/state_file.ts";

const BASE: StoredProcess = {
  user: { uid: 1, gid: 2, additionalGids: [3], umask: 7 },
  env: ["PATH=/bin"],
  cwd: "/home",
  capabilities: {
    ...{ bounding: ["CAP_KILL"], effective: ["CAP_KILL"], permitted: ["CAP_KILL"] },
    ...{ inheritable: [], ambient: [] },
  },
  rlimits: [{ type: "RLIMIT_NOFILE", soft: "1024", hard: "18446744073709551615" }],
  noNewPrivileges: false,
  oomScoreAdj: 5,
};

/** The same, as a process. */
const SAME = {
  ...BASE,
  args: ["true"],
  terminal: false,
  rlimits: [{ type: "RLIMIT_NOFILE", soft: 1024n, hard: 2n ** 64n - 1n }],
};

const known = COMMANDS.find(({ name }) => name === "exec")?.flags ?? [];

/** `belay exec ID true` with these flags before it. */
function added(flags: readonly string[], base = BASE, args = ["true"]): Promise<Process> {
  const parsed = parseFlags(flags, known);
  assertEquals([parsed.problem, parsed.rest], [undefined, []], flags.join(" "));
  return addedProcess(base, parsed.flags, args, new Logger("ERROR", []));
}

Deno.test("addedProcess() is the container's own process where no flag says otherwise", async () => {
  assertEquals(await added([]), SAME as never);
  assertEquals(await added(["--user", ""]), SAME as never);
  const args = ["sh", "-c", "echo --tty"];
  assertEquals(await added([], BASE, args), { ...SAME, args } as never);
});

Deno.test("addedProcess() changes what flags say, and nothing else", async () => {
  const user = (change: object) => ({ user: { ...BASE.user, ...change } });
  for (
    const [flags, change] of [
      [["--cwd", "/tmp"], { cwd: "/tmp" }],
      [["--env", "A=", "-e", "B=1=2"], { env: ["PATH=/bin", "A=", "B=1=2"] }],
      [["--user", "5"], user({ uid: 5 })],
      [["--user", "5:6"], user({ uid: 5, gid: 6 })],
      [["-u", "0:0"], user({ uid: 0, gid: 0 })],
      [["-u", "4294967294:4294967294"], user({ uid: 4294967294, gid: 4294967294 })],
      [["-g", "7", "--additional-gids", "8"], user({ additionalGids: [3, 7, 8] })],
      [["--tty"], { terminal: true }],
      [["--no-new-privs"], { noNewPrivileges: true }],
      [["--apparmor", "web"], { apparmorProfile: "web" }],
      [["--process-label", "a:b"], { selinuxLabel: "a:b" }],
      [["--cap", "CAP_CHOWN", "--tty"], {
        terminal: true,
        capabilities: {
          ...{ inheritable: [], ambient: [] },
          bounding: ["CAP_KILL", "CAP_CHOWN"],
          effective: ["CAP_KILL", "CAP_CHOWN"],
          permitted: ["CAP_KILL", "CAP_CHOWN"],
        },
      }],
    ] as [string[], object][]
  ) assertEquals(await added(flags), { ...SAME, ...change } as never, flags.join(" "));
});

Deno.test("addedProcess() never takes no_new_privs from a container that has it", async () => {
  const strict = { ...BASE, noNewPrivileges: true };
  for (const flags of [[], ["--no-new-privs"], ["--no-new-privs=false"], ["--cap", "CAP_KILL"]]) {
    assertEquals((await added(flags, strict)).noNewPrivileges, true, flags.join(" "));
  }
});

Deno.test("addedProcess() tells the flag whose value is none", async () => {
  for (
    const [flags, message] of [
      [["--cwd", "tmp"], "Cwd must be an absolute path"],
      [["--env", "A"], 'invalid environment variable: "A"'],
      [["--env", "=x"], 'invalid environment variable: "=x"'],
      [["--user", "root"], '--user: "root" is not a number'],
      [["--user", "5:"], '--user: "" is not a number'],
      [["--user", "4294967295"], '--user: "4294967295" is not a number'],
      [["--user", "1:4294967295"], '--user: "4294967295" is not a number'],
      [["--user", "-1"], '--user: "-1" is not a number'],
      [["-g", "wheel"], '--additional-gids: "wheel" is not a number'],
    ] as const
  ) await assertRejects(() => added(flags), CommandError, message, flags.join(" "));
});

Deno.test("addedProcess() needs a program, from the command line or from a file", async () => {
  for (const flags of [[], ["--cap", "CAP_KILL"]]) {
    await assertRejects(() => added(flags, BASE, []), CommandError, "process args cannot be empty");
  }
  const file = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(file, JSON.stringify({ args: ["id"], cwd: "/", env: ["A=b"] }));
    const { args, env } = await added(["--process", file, "--env", "C=d"], BASE, []);
    assertEquals({ args, env }, { args: ["id"], env: ["A=b"] });
  } finally {
    await Deno.remove(file);
  }
  const missing = `--process: ${file}: no such file or directory`;
  await assertRejects(() => added(["--process", file], BASE, []), CommandError, missing);
  await assertRejects(
    () => added(["--process", "/"], BASE, []),
    Error,
    "--process: / cannot be read",
  );
});
