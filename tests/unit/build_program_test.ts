import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { launcherText } from "../../scripts/launcher.ts";
import { type Program, takeApart } from "../../scripts/program.ts";

const bundler = { deno: Deno.execPath(), minify: true };

function apart(chunks: Record<string, string>, commands: Record<string, string> = {}) {
  return takeApart(
    new Map(Object.entries(chunks)),
    "./main.js",
    new Map(Object.entries(commands)),
    bundler,
  );
}

Deno.test("takeApart() makes chunks bodies of functions", async () => {
  const { chunks } = await apart({
    "./main.js":
      'import {\n  a,\n  b as c\n} from "./x.js";\nimport "./y.js";\nf(import.meta.main);\n',
    "./x.js": 'let a, d;\nf(import.meta.main, import("./w.js"));\nexport {\n  a,\n  d as b\n};\n',
    // As esbuild writes it when it minifies.
    "./y.js": 'import{a as as,b}from"./x.js";import"./z.js";b(as);export{as as b,b as c};',
    "./z.js": "",
    "./w.js": "",
  });
  assertEquals(
    chunks.get("./main.js"),
    'const {a, b: c} = await load("./x.js");\nconst {} = await load("./y.js");\nf(true);\n',
  );
  assertEquals(chunks.get("./x.js"), 'let a, d;\nf(false, load("./w.js"));\nreturn {a, b: d};');
  assertEquals(
    chunks.get("./y.js"),
    'const {a: as, b} = await load("./x.js");\nconst {} = await load("./z.js");\n' +
      "b(as);return {b: as, c: b};",
  );
});

Deno.test("takeApart() gives each command a program of what it surely needs, in one scope", async () => {
  const { commands } = await apart({
    "./main.js": 'import{base}from"./base.js";if(import.meta.main)go([()=>import("./one.js"),' +
      '()=>import("./two.js")],base);\n',
    "./base.js": 'const base="the base",unused="unused";export{base,unused};\n',
    "./one.js":
      'import{base}from"./base.js";const run=()=>[base,"first",import("./late.js")];export{run};\n',
    "./two.js": 'const run=()=>"second";export{run};\n',
    "./late.js":
      'import{base}from"./base.js";import{own}from"./own.js";const late=base+own;export{late};\n',
    "./own.js": 'const own="late one";export{own};\n',
  }, { one: "./one.js", "group two": "./two.js" });
  assertEquals([...commands.keys()], ["", "one", "group two"]);
  const bodyOf = (name: string) => commands.get(name)?.body ?? "";
  const has = (name: string) =>
    ["the base", "first", "second", "late one", "unused"].filter((each) =>
      bodyOf(name).includes(`"${each}"`)
    );
  assertEquals(has(""), ["the base"]);
  // What is loaded later gets all that the chunk exports which it imports.
  assertEquals(has("one"), ["the base", "first", "unused"]);
  assertEquals(has("group two"), ["the base", "second"]);
  assertEquals(commands.get("one")?.later, { "./late.js": ["./late.js", "./own.js"] });
  assertEquals(commands.get("group two")?.later, {});
  assertEquals(commands.get("group two")?.chunk, "./two.js");
  // Other commands are asked for by name.
  assertStringIncludes(bodyOf("one"), 'load("./two.js")');
  assert(!/\b(import|export)\b/.test(bodyOf("one")), bodyOf("one"));
});

Deno.test("takeApart() writes plain ASCII that means the same", async () => {
  const { chunks } = await apart({ "./main.js": 'f("é…😀");\n' });
  assertEquals(chunks.get("./main.js"), 'f("\\u00e9\\u2026\\ud83d\\ude00");\n');
});

Deno.test("takeApart() throws when a chunk needs what only modules have", async () => {
  const modules = [
    "import x from 'y';\n",
    "f(import.meta.url);\n",
    "export const a = 1;\n",
    "f();\nimport './x.js';\n",
  ];
  for (const module of modules) {
    await assertRejects(
      () => apart({ "./main.js": module }),
      Error,
      "./main.js cannot be carried",
    );
  }
});

Deno.test("takeApart() throws when a chunk holds the mark that ends it", async () => {
  await assertRejects(() => apart({ "./main.js": "f(`\n//---- `);" }), Error, "./main.js holds");
});

const NOTHING: Program = { commands: new Map([["", { body: "", later: {} }]]), chunks: new Map() };

Deno.test("launcherText() has the shell's lines before the program", async () => {
  const text = await launcherText({ path: "/x/deno", version: "2.9.6" }, {
    commands: new Map([["", { body: "none();", later: {} }], ["a b", {
      body: "ab();",
      later: {},
      chunk: "./b.js",
    }]]),
    chunks: new Map([["./x.js", "x();"]]),
  });
  assertEquals(text.split("\n")[0], "#!/bin/sh");
  assertStringIncludes(text, "\n//---- program \nnone();");
  assertStringIncludes(text, "\n//---- program a-b\nab();");
  assertStringIncludes(text, "\n//---- ./x.js\nx();");
});

Deno.test("launcherText() quotes the path of Deno for the shell", async () => {
  const text = await launcherText({ path: "/it's/$(x)/deno", version: "2.9.6" }, NOTHING);
  assertStringIncludes(text, `[ -x '/it'\\''s/$(x)/deno' ]`);
});

Deno.test("launcherText() throws when the path of Deno is not absolute", async () => {
  await assertRejects(
    () => launcherText({ path: "deno", version: "2.9.6" }, NOTHING),
    Error,
    "not an absolute path",
  );
});
