import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { notRoot, testUnless } from "../skip.ts";
import { run } from "./belay.ts";
import { COMMANDS_OF_TWO, placeInCache, TWO_COMMANDS, withLauncher } from "./launcher_world.ts";

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
