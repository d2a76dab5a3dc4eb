import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { launcherText } from "../../scripts/launcher.ts";

Deno.test("launcherText() carries the bundle behind the shell's lines, as a function's body", () => {
  const text = launcherText("/x/deno", "var a = import.meta.main;\nexport {\n  a\n};\n");
  assertEquals(text.split("\n")[0], "#!/bin/sh");
  assertStringIncludes(text, "\nvar a = true;\n");
  assertEquals(text.includes("export {"), false);
});

Deno.test("launcherText() quotes the path of Deno for the shell", () => {
  assertStringIncludes(launcherText("/it's/$(x)/deno", ""), `[ -x '/it'\\''s/$(x)/deno' ]`);
});

Deno.test("launcherText() throws when the bundle needs what only modules have", () => {
  for (const bundle of ["import x from 'y';\n", "f(import.meta.url);\n", "export const a = 1;\n"]) {
    assertThrows(() => launcherText("/x/deno", bundle), Error, "a launcher cannot carry it");
  }
});

Deno.test("launcherText() throws when the path of Deno is not absolute", () => {
  assertThrows(() => launcherText("deno", ""), Error, "not an absolute path");
});
