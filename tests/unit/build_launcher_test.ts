import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { launcherText } from "../../scripts/launcher.ts";

function launcher(deno: string, main: string): string {
  return launcherText(deno, "./main.js", new Map([["./main.js", main]]));
}

Deno.test("launcherText() carries modules as functions' bodies, behind the shell's lines", () => {
  const text = launcherText(
    "/x/deno",
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
    '\n#---- ./main.js\nconst {a, b: c} = await load("./x.js");\n' +
      'const {} = await load("./y.js");\nf(true);\n',
  );
  assertStringIncludes(
    text,
    '\n#---- ./x.js\nf(false, load("./y.js"));\nreturn {a, b: d};\n',
  );
  assertStringIncludes(
    text,
    '\n#---- ./y.js\nconst {a: as, b} = await load("./x.js");\nconst {} = await load("./z.js");\n' +
      "b(as);return {b: as, c: b};\n",
  );
});

Deno.test("launcherText() is plain ASCII, and means the same", () => {
  const text = launcher("/x/deno", 'f("é…😀");\n');
  assertStringIncludes(text, '\nf("\\u00e9\\u2026\\ud83d\\ude00");\n');
});

Deno.test("launcherText() quotes the path of Deno for the shell", () => {
  assertStringIncludes(launcher("/it's/$(x)/deno", ""), `[ -x '/it'\\''s/$(x)/deno' ]`);
});

Deno.test("launcherText() throws when a chunk needs what only modules have", () => {
  const modules = [
    "import x from 'y';\n",
    "f(import.meta.url);\n",
    "export const a = 1;\n",
    "f();\nimport './x.js';\n",
  ];
  for (const module of modules) {
    assertThrows(() => launcher("/x/deno", module), Error, "./main.js cannot be carried");
  }
});

Deno.test("launcherText() throws when a chunk holds the mark that ends it", () => {
  assertThrows(() => launcher("/x/deno", "f(`\n#---- `);"), Error, "./main.js holds");
});

Deno.test("launcherText() throws when the path of Deno is not absolute", () => {
  assertThrows(() => launcher("deno", ""), Error, "not an absolute path");
});
