import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { launcherText } from "../../scripts/launcher.ts";

function launcher(path: string, main: string): Promise<string> {
  return launcherText({ path, version: "2.9.6" }, "./main.js", new Map([["./main.js", main]]));
}

Deno.test("launcherText() carries modules as functions' bodies, behind the shell's lines", async () => {
  const text = await launcherText(
    { path: "/x/deno", version: "2.9.6" },
    "./main.js",
    new Map([
      [
        "./main.js",
        'import {\n  a,\n  b as c\n} from "./x.js";\nimport "./y.js";\nf(import.meta.main);\n',
      ],
      ["./x.js", 'f(import.meta.main, import("./y.js"));\nexport {\n  a,\n  d as b\n};\n'],
      // As esbuild writes it when it minifies.
      ["./y.js", 'import{a as as,b}from"./x.js";import"./z.js";b(as);export{as as b,b as c};'],
    ]),
  );
  assertEquals(text.split("\n")[0], "#!/bin/sh");
  assertStringIncludes(
    text,
    '\n//---- ./main.js\nconst {a, b: c} = await load("./x.js");\n' +
      'const {} = await load("./y.js");\nf(true);\n',
  );
  assertStringIncludes(
    text,
    '\n//---- ./x.js\nf(false, load("./y.js"));\nreturn {a, b: d};\n',
  );
  assertStringIncludes(
    text,
    '\n//---- ./y.js\nconst {a: as, b} = await load("./x.js");\nconst {} = await load("./z.js");\n' +
      "b(as);return {b: as, c: b};\n",
  );
});

Deno.test("launcherText() is plain ASCII, and means the same", async () => {
  const text = await launcher("/x/deno", 'f("é…😀");\n');
  assertStringIncludes(text, '\nf("\\u00e9\\u2026\\ud83d\\ude00");\n');
});

Deno.test("launcherText() quotes the path of Deno for the shell", async () => {
  assertStringIncludes(await launcher("/it's/$(x)/deno", ""), `[ -x '/it'\\''s/$(x)/deno' ]`);
});

Deno.test("launcherText() throws when a chunk needs what only modules have", async () => {
  const modules = [
    "import x from 'y';\n",
    "f(import.meta.url);\n",
    "export const a = 1;\n",
    "f();\nimport './x.js';\n",
  ];
  for (const module of modules) {
    await assertRejects(() => launcher("/x/deno", module), Error, "./main.js cannot be carried");
  }
});

Deno.test("launcherText() throws when a chunk holds the mark that ends it", async () => {
  await assertRejects(() => launcher("/x/deno", "f(`\n//---- `);"), Error, "./main.js holds");
});

Deno.test("launcherText() throws when the path of Deno is not absolute", async () => {
  await assertRejects(() => launcher("deno", ""), Error, "not an absolute path");
});
