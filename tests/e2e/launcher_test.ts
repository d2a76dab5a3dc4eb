import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { COMMANDS } from "../../runtime/cli/command_table.ts";
import { noProgram, notRoot, testUnless } from "../skip.ts";
import { belay, belayPath, inTempDir, isLauncher, run } from "./belay.ts";
import { withLauncher } from "./launcher_world.ts";

const compiled = isLauncher ? undefined : "this is the compiled executable";

Deno.test("belay works wherever it is copied to, and however it is called", async () => {
  await inTempDir(async (directory) => {
    const expected = (await belay(["--version"])).stdout;
    const bin = `${directory}/a b#c%20?'"`;
    Deno.mkdirSync(bin);
    Deno.copyFileSync(belayPath, `${bin}/belay`);
    Deno.symlinkSync(`${bin}/belay`, `${directory}/link`);
    Deno.symlinkSync("link", `${directory}/runc`);
    const ways: readonly Parameters<typeof run>[] = [
      [[`${bin}/belay`, "--version"]],
      [["./belay", "--version"], { cwd: bin }],
      [[`${directory}/link`, "--version"], { cwd: "/" }],
      [["./runc", "--version"], { cwd: directory }],
      [["sh", "-c", "belay --version"], { env: { PATH: `${bin}:${Deno.env.get("PATH")}` } }],
      [["sh", "-c", "cd /; exec runc --version"], { env: { PATH: `${directory}:/bin:/usr/bin` } }],
    ];
    for (const [command, options] of ways) {
      assertEquals(await run(command, options), { code: 0, stdout: expected, stderr: "" });
    }
  });
});

Deno.test("belay works with an empty environment, as podman calls it", async () => {
  const { code, stderr } = await belay(["--version"], { clearEnv: true, cwd: "/" });
  assertEquals([code, stderr], [0, ""]);
});

Deno.test("belay works with its standard descriptors closed", async () => {
  const { stdout } = await run(["sh", "-c", '"$0" -v <&- >&- 2>&-; echo $?', belayPath]);
  assertEquals(stdout, "0\n");
});

Deno.test("belay passes its arguments on untouched", async () => {
  const { stderr } = await belay(["no such\ncommand '\"$(x)", "--version", "", "*"]);
  assertStringIncludes(stderr, String.raw`unknown command \"no such\\ncommand '\\\"$(x)\"`);
});

testUnless(
  compiled,
  "the launcher works in a directory that was deleted; what is relative to it is not there",
  async () => {
    await inTempDir(async (directory) => {
      const gone = async (...args: string[]) => {
        const script = 'mkdir "$1" && cd "$1" && rmdir "$1" && shift && exec "$@"';
        return await run(["sh", "-c", script, "sh", `${directory}/gone`, belayPath, ...args]);
      };
      assertEquals((await gone("--version")).stdout, (await belay(["--version"])).stdout);
      assertEquals((await gone("--root", directory, "list", "-q")).code, 0);
      assertEquals((await gone("spec", "--bundle", directory)).code, 0);
      for (
        const args of [["spec"], ["--root", directory, "run", "x"], ["--root", "r", "create", "x"]]
      ) {
        const { code, stderr } = await gone(...args);
        assertEquals(code, 1);
        assertStringIncludes(stderr, "config.json");
        assertStringIncludes(stderr, "No such file or directory");
      }
      assertEquals([...Deno.readDirSync(directory)].map(({ name }) => name), ["config.json"]);
    });
  },
);

testUnless(
  compiled,
  "the launcher ignores what is in the working directory and in HOME",
  async () => {
    await inTempDir(async (directory) => {
      const broken = [
        "deno.json",
        "deno.lock",
        "package.json",
        "import_map.json",
        ".npmrc",
        ".env",
      ];
      for (const name of broken) {
        Deno.writeTextFileSync(`${directory}/${name}`, "{ broken\n@x:registry = \n");
      }
      Deno.mkdirSync(`${directory}/node_modules`);
      const { code, stderr } = await belay(["--version"], {
        cwd: directory,
        env: { HOME: directory },
      });
      assertEquals([code, stderr], [0, ""]);
    });
  },
);

testUnless(compiled, "the launcher ignores variables that change how Deno starts", async () => {
  await inTempDir(async (directory) => {
    const socket = `${directory}/control.sock`;
    using _listener = Deno.listen({ transport: "unix", path: socket });
    const expected = await belay(["--version"]);
    const env = {
      DENO_AUDIT_PERMISSIONS: `${directory}/audit`,
      DENO_COVERAGE_DIR: `${directory}/coverage`,
      DENO_DIR: `${directory}/cache`,
      DENO_EMIT_CACHE_MODE: "bogus",
      DENO_LOG: "debug",
      DENO_UNSTABLE_CONTROL_SOCK: `unix:${socket}`,
      DENO_V8_FLAGS: "--bogus",
      NODE_CHANNEL_FD: "77",
      NODE_OPTIONS: "--require=/bogus.js",
      OTEL_DENO: "true",
      RUST_LOG: "trace",
      SSLKEYLOGFILE: `${directory}/keys`,
    };
    for (const [name, value] of Object.entries(env)) {
      const ended = await belay(["--version"], { env: { [name]: value }, timeoutMs: 10_000 });
      assertEquals(ended, expected, name);
    }
    assertEquals([...Deno.readDirSync(directory)].map(({ name }) => name), ["control.sock"]);
  });
});

/** Where the launcher lets Deno keep compiled code, for root. */
const CACHE = "/var/cache/belay/";

for (const cache of ["on", "off"]) {
  testUnless(
    noProgram("strace"),
    `belay opens no file that another user could have written, with its cache ${cache}`,
    async () => {
      await inTempDir(async (directory) => {
        const env = { HOME: directory, BELAY_CACHE: cache };
        await run([belayPath, "--version"], { env }); // may make the cache
        const log = `${directory}/strace`;
        const { code } = await run(
          ["strace", "-f", "-z", "-qq", "-o", log, "-e", "trace=%file", belayPath, "--version"],
          { env },
        );
        assertEquals(code, 0);
        const calls = Deno.readTextFileSync(log).split("\n");
        const opened = calls.filter((line) => /\bopen(at)?\(/.test(line));
        assert(opened.length > 3, "strace saw nothing");
        const own = (line: string) => cache === "on" && line.includes(`"${CACHE}`);
        const writes = opened.filter((line) => /O_WRONLY|O_RDWR|O_CREAT/.test(line));
        assertEquals(writes.filter((line) => !own(line)), []);
        const deno = /^build: launcher \((.*)\)$/m.exec((await belay(["-v"])).stdout)?.[1];
        const trusted = [
          ...[belayPath, deno ?? belayPath, "/etc/", "/lib", "/usr/", "/proc/", "/sys/", "/dev/"],
        ];
        const strange = opened.filter((line) => !own(line))
          .map((line) => /"([^"]*)"/.exec(line)?.[1] ?? line)
          .filter((path) => !trusted.some((prefix) => path.startsWith(prefix)));
        assertEquals(strange, []);
        const made = calls.filter((line) =>
          /\b(mkdir|unlink|rename|symlink|link)(at2?)?\(/.test(line)
        );
        assertEquals(made.filter((line) => !own(line)), []);
      });
    },
  );
}

testUnless(
  compiled ?? notRoot(),
  "the launcher's cache is root's alone; one that is not is left aside",
  async () => {
    const { mode, uid } = Deno.statSync(`${CACHE}deno-${Deno.version.deno}`);
    assertEquals([(mode ?? 0) & 0o777, uid], [0o700, 0]);
    const alien = await run(["unshare", "--user", "--map-root-user", belayPath, "--version"]);
    assertEquals(alien, await belay(["--version"]));
  },
);

Deno.test("the launcher leaves the program the environment that it was called with", async () => {
  await withLauncher(
    Deno.execPath(),
    "console.log(JSON.stringify(Deno.env.toObject()));",
    async (path, cache) => {
      for (const env of [{}, { HOME: "/home/x", XDG_RUNTIME_DIR: "/run/x", "A": "b c\n" }]) {
        const { stdout, stderr } = await run([path], {
          clearEnv: true,
          env: { ...env, ...cache },
        });
        assertEquals(stderr, "");
        // /bin/sh sets PWD (and bash more): that is all that may be new.
        const { PWD: _pwd, SHLVL: _shlvl, OLDPWD: _oldpwd, _: _last, ...seen } = JSON.parse(stdout);
        assertEquals(seen, { ...env, ...cache });
      }
    },
  );
});

Deno.test("the launcher passes arguments and the exit code", async () => {
  await withLauncher(
    Deno.execPath(),
    "console.log(JSON.stringify(Deno.args)); Deno.exit(await Promise.resolve(42));",
    async (path, env) => {
      const args = ["--version", "-A", "", "a b", "$(x)", "--", "é\n"];
      const { code, stdout } = await run([path, ...args], { env });
      assertEquals(code, 42);
      assertEquals(JSON.parse(stdout), args);
    },
  );
});

Deno.test("the launcher says clearly that its Deno is gone", async () => {
  for (const deno of ["/nonexistent/it's/deno", "/etc/passwd"]) {
    await withLauncher(deno, "", async (path, env) => {
      const { code, stdout, stderr } = await run([path, "--version"], { env });
      assertEquals([code, stdout], [1, ""]);
      assertStringIncludes(stderr, `belay: this launcher needs Deno at ${deno}, which is gone`);
      assertMatch(stderr, /run "deno task build"/);
      assertEquals(stderr.split("\n").length, 2);
    });
  }
});

testUnless(
  compiled,
  "the launcher has a program for each command, which is that very command",
  () => {
    const text = Deno.readTextFileSync(belayPath);
    const loader = decodeURIComponent(/data:text\/javascript,([^']*)/.exec(text)?.[1] ?? "");
    const [, json = "{}"] = /^ {2}owners: (\{.*\}),$/m.exec(loader) ?? [];
    const owners: Record<string, string> = JSON.parse(json);
    assertEquals(Object.keys(owners).length, COMMANDS.length);
    for (const { name } of COMMANDS) {
      const word = name.replace(" ", "-");
      const chunk = Object.keys(owners).find((each) => owners[each] === word);
      assertMatch(chunk ?? "none", new RegExp(`^\\./${name.split(" ").at(-1)}-`), name);
      const start = text.indexOf(`\n//---- program ${word}\n`);
      const program = text.slice(start, text.indexOf("\n//---- ", start + 1));
      // It tells the loader that it has the command's own chunk.
      assertStringIncludes(program, `"${chunk}":()=>({run:`);
    }
  },
);
