import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { launcherText } from "../../scripts/launcher.ts";
import { takeApart } from "../../scripts/program.ts";
import { COMMANDS } from "../../runtime/cli/command_table.ts";
import { noProgram, notRoot, testUnless } from "../skip.ts";
import { belay, belayPath, inTempDir, isLauncher, run } from "./belay.ts";

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

/** A launcher for a program of our own. `work` is called without the cache, and, for root, as often as it makes a difference. */
async function withLauncher(
  deno: string,
  program: string | ReadonlyMap<string, string>,
  work: (path: string, cache: Record<string, string>) => Promise<void>,
  commands: ReadonlyMap<string, string> = new Map(),
): Promise<void> {
  await inTempDir(async (directory) => {
    const path = `${directory}/program`;
    const version = Deno.version.deno;
    const chunks = typeof program === "string" ? new Map([["./a.js", program]]) : program;
    const bundler = { deno: Deno.execPath(), minify: true };
    const taken = await takeApart(chunks, "./a.js", commands, bundler);
    const text = await launcherText({ path: deno, version }, taken);
    Deno.writeTextFileSync(path, text, { mode: 0o755 });
    await work(path, { BELAY_CACHE: "off" });
    try {
      await work(path, {}); // makes the module
      await work(path, {}); // compiles it
      await work(path, {}); // finds it compiled
    } finally {
      await Deno.remove(placeInCache(text), { recursive: true }).catch(() => {}); // not made for others than root
    }
  });
}

/** Where the modules of a launcher are, for root. */
function placeInCache(launcher: string): string {
  const place = /^m=(\S+)\/module-\$c\.js$/m.exec(launcher)?.[1];
  if (place === undefined) throw new Error("the launcher has no place in the cache");
  return place;
}

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

/** A program with a command of one word and one of two; the last word tells which. */
const TWO_COMMANDS = new Map([
  [
    "./a.js",
    'const name = Deno.args.at(-1).replace("../../", "");\nconst { say } = await (name === "one" ? import("./one.js") : import("./two.js"));\n' +
    "say();\nDeno.exit(0);\n",
  ],
  ["./one.js", 'import{word}from"./word.js";const say=()=>console.log(word+" one");export{say};\n'],
  ["./two.js", 'import{word}from"./word.js";const say=()=>console.log(word+" two");export{say};\n'],
  ["./word.js", 'const word="this is";export{word};\n'],
]);
const COMMANDS_OF_TWO = new Map([["one", "./one.js"], ["net two", "./two.js"]]);

Deno.test("the launcher runs a command whose chunks are not in the module that it guessed", async () => {
  await withLauncher(Deno.execPath(), TWO_COMMANDS, async (path, env) => {
    const lines = [
      "one",
      "net two",
      "--flag one net two",
      "one one",
      " two",
      "net ../../one",
      "net one",
    ];
    for (const args of lines.map((line) => line.split(" "))) {
      const expected = {
        code: 0,
        stdout: `this is ${args.at(-1)?.replace("../../", "")}\n`,
        stderr: "",
      };
      assertEquals(await run([path, ...args], { env }), expected, args.join(" "));
    }
  }, COMMANDS_OF_TWO);
});

testUnless(
  notRoot(),
  "the launcher keeps a module for each command, with what that command needs",
  async () => {
    let seen = 0;
    await withLauncher(Deno.execPath(), TWO_COMMANDS, async (path, env) => {
      const place = placeInCache(Deno.readTextFileSync(path));
      await run([path, "one"], { env });
      if (env["BELAY_CACHE"] === "off") {
        await assertRejects(() => Deno.stat(place), Deno.errors.NotFound);
        return;
      }
      const names = [...Deno.readDirSync(place)].map(({ name }) => name).sort();
      assertEquals(names.slice(0, 1), ["module-one.js"]);
      assertEquals(names.includes("module-net-two.js"), false);
      const module = Deno.readTextFileSync(`${place}/module-one.js`);
      assertStringIncludes(module, '" one"');
      assertEquals(module.includes('" two"'), false);
      seen++;
    }, COMMANDS_OF_TWO);
    assertEquals(seen, 3);
  },
);

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

testUnless(
  notRoot(),
  "the launcher guesses a command of two words also where the second one is a command, too",
  async () => {
    const commands = new Map([["one", "./one.js"], ["net one", "./two.js"]]);
    await withLauncher(Deno.execPath(), TWO_COMMANDS, async (path, env) => {
      if (env["BELAY_CACHE"] === "off") return;
      const place = placeInCache(Deno.readTextFileSync(path));
      await run([path, "net", "one"], { env });
      const made = [...Deno.readDirSync(place)].map(({ name }) => name)
        .filter((name) => /^module-.*\.js$/.test(name));
      assertEquals(made, ["module-net-one.js"]);
    }, commands);
  },
);

testUnless(notRoot(), "the launcher's first runs may come at the same moment", async () => {
  await withLauncher(Deno.execPath(), TWO_COMMANDS, async (path, env) => {
    const expected = { code: 0, stdout: "this is two\n", stderr: "" };
    const all = await Promise.all(
      Array.from({ length: 8 }, () => run([path, "net", "two"], { env })),
    );
    for (const ended of all) assertEquals(ended, expected);
  }, COMMANDS_OF_TWO);
});

testUnless(
  notRoot(),
  "the launcher keeps a module for what a command loads later, once that was needed",
  async () => {
    const program = new Map([
      [
        "./a.js",
        'const { say } = await import("./one.js");\nawait say();\n' +
        "(globalThis.belayExit ?? Deno.exit)(0);\n",
      ],
      [
        "./one.js",
        'const say=async()=>console.log((await import("./late-X.js")).word);export{say};\n',
      ],
      ["./late-X.js", 'import{part}from"./part.js";const word=part+"er";export{word};\n'],
      ["./part.js", 'const part="lat";export{part};\n'],
    ]);
    const left: string[][] = [];
    await withLauncher(Deno.execPath(), program, async (path, env) => {
      for (let round = 0; round < 2; round++) {
        const ended = await run([path, "one"], { env });
        assertEquals(ended, { code: 0, stdout: "later\n", stderr: "" });
        if (env["BELAY_CACHE"] === "off") continue;
        const place = placeInCache(Deno.readTextFileSync(path));
        left.push([...Deno.readDirSync(place)].map(({ name }) => name.replace(/^module-/, "")));
      }
    }, new Map([["one", "./one.js"]]));
    assertEquals(left.map((names) => names.filter((name) => /^one/.test(name)).sort()), [
      ["one.js"],
      ["one.js", "one.js.stored", "one.late-X.js"],
      ...Array(4).fill(["one.js", "one.js.stored", "one.late-X.js", "one.late-X.js.stored"]),
    ]);
  },
);

testUnless(
  notRoot(),
  "a module goes on when the cache is emptied while it runs",
  async () => {
    const program = new Map([
      [
        "./a.js",
        'const place = Deno.args[1];\nawait import("./one.js");\nif (place !== undefined) Deno.removeSync(place, { recursive: true });\n' +
        'const { word } = await import("./word.js");\nconsole.log(word);\nDeno.exit(0);\n',
      ],
      ["./one.js", "const n = 1;export{n};\n"],
      ["./word.js", 'const word="later";export{word};\n'],
    ]);
    const commands = new Map([["one", "./one.js"]]);
    await withLauncher(Deno.execPath(), program, async (path, env) => {
      if (env["BELAY_CACHE"] === "off") return;
      const place = placeInCache(Deno.readTextFileSync(path));
      await run([path, "one"], { env }); // makes the module
      assertEquals(Deno.statSync(`${place}/module-one.js`).isFile, true);
      const ended = await run([path, "one", place], { env });
      assertEquals(ended, { code: 0, stdout: "later\n", stderr: "" });
    }, commands);
  },
);

testUnless(
  notRoot(),
  "the launcher's cache has room: who has not been started for long leaves it, who has stays",
  async () => {
    await withLauncher(Deno.execPath(), TWO_COMMANDS, async (path, env) => {
      if (env["BELAY_CACHE"] === "off") return;
      const place = placeInCache(Deno.readTextFileSync(path));
      // A cache of the test's own, in its mount namespace: what others have stored is not at stake.
      const script = `mount -t tmpfs -o mode=0700 none "$2" && mkdir "$2/old" "$2/new" &&
        head -c 18000000 /dev/zero | tee "$2/old/module-x.js" >"$2/new/module-x.js" &&
        touch "$2/new/module-x.js.stored" "$2/v8_code_cache_v2" && touch -d "-3 days" "$2/old/module-x.js" "$2/old" &&
        "$1" one && ls "$2" "$2/new"`;
      const cache = place.slice(0, place.lastIndexOf("/"));
      const words = ["unshare", "--mount", "sh", "-c", script, "sh", path, cache];
      const { stdout, stderr } = await run(words, { env });
      assertEquals(stderr, "");
      const [said = "", ...listed] = stdout.trim().split("\n").filter((line) => line !== "");
      assertEquals(said, "this is one");
      assertEquals(listed.filter((line) => /^(old|new|v8_code_cache_v2)$/.test(line)), ["new"]);
      assertEquals(listed.filter((line) => line.startsWith("module-")), ["module-x.js"]);
    }, COMMANDS_OF_TWO);
  },
);
