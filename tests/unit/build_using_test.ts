// esbuild's minifier puts the value of a variable that is named once where it is named, also of a `using` variable,
// which then is never disposed of (seen with 0.25). Where that would happen, a second name keeps it:
// `const dir = open(); using _dir = dir;`.
import { assert, assertEquals } from "@std/assert";
import { programFrom } from "../../scripts/build.ts";

const root = new URL("../..", import.meta.url).pathname;

/** The values of all `using` declarations of a program, in order. */
function declared(program: string): string[] {
  const found: string[] = [];
  for (const { index, 0: word } of program.matchAll(/\busing (?=[\w$]+ ?=)/g)) {
    const end = endOf(program, index + word.length, ";");
    for (let at = index + word.length; at < end;) {
      const next = endOf(program, at, ",;");
      found.push(program.slice(at, next).replace(/^[^=]*=\s*/, ""));
      at = next + 1;
    }
  }
  return found;
}

/** Where one of these characters comes next, outside of brackets and strings. */
function endOf(program: string, from: number, marks: string): number {
  let depth = 0;
  for (let at = from; at < program.length; at++) {
    const char = program[at] ?? "";
    if (`"'\``.includes(char)) {
      for (at++; program[at] !== char; at++) if (program[at] === "\\") at++;
    } else if ("([{".includes(char)) depth++;
    else if (")]}".includes(char)) {
      if (depth-- === 0) return at;
    } else if (depth === 0 && marks.includes(char)) return at;
  }
  return program.length;
}

async function bundled(...flags: string[]): Promise<string> {
  const out = await Deno.makeTempFile();
  try {
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["bundle", "--quiet", ...flags, "--output", out, `${root}main.ts`],
      cwd: root,
      stdin: "null",
    }).output();
    assertEquals(code, 0, new TextDecoder().decode(stderr));
    return await Deno.readTextFile(out);
  } finally {
    await Deno.remove(out);
  }
}

// Names differ: what a value calls, and how, stays.
const shapes = (program: string) =>
  declared(program).map((value) =>
    [...value.matchAll(/\.\w+(?=\()/g)].map(([call]) => call).join("")
  );

Deno.test("build: no `using` is lost when the program is made small", async () => {
  const [plain, small] = await Promise.all([bundled(), bundled("--minify")]);
  assertEquals(shapes(small), shapes(plain), "see the top of this file");
});

Deno.test("build: nor when it is made small once more, as the program of a command", async () => {
  const entry = `${root}main.ts`;
  const [plain, small] = await Promise.all([programFrom(entry, false), programFrom(entry)]);
  let seen = 0;
  for (const [name, { body }] of small.commands) {
    const expected = shapes(plain.commands.get(name)?.body ?? "");
    assertEquals(shapes(body), expected, name);
    seen += expected.length;
  }
  assert(seen > 50, `only ${seen} were found`);
});
