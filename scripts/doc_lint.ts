/**
 * Fails when something that ffi/ or runtime/ exports has no docstring, and says where.
 *
 * The finding is `deno doc --lint`'s, which also wants a sentence for each member of each
 * interface, and type annotations that only JSR needs; here the exports themselves are enough.
 *
 * Usage: deno run -A scripts/doc_lint.ts MODULE...
 */
const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
  args: ["doc", "--lint", ...Deno.args],
  env: { NO_COLOR: "1" },
}).output();
const output = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);

const missing = [...output.matchAll(/^error\[missing-jsdoc\].*\n\s*--> (.+):(\d+):\d+$/gm)]
  .map(([, path = "", line = ""]) => ({ path, line, text: sourceLine(path, Number(line)) }))
  .filter(({ text }) => text.startsWith("export "));
for (const { path, line, text } of missing) console.error(`${path}:${line}: no docstring: ${text}`);

// Anything but findings, a syntax error say, must not look like success.
const looked = /^Checked \d+ file|^error: Found \d+ documentation lint error/m.test(output);
if (!looked) console.error(output);
Deno.exit(looked && missing.length === 0 ? 0 : 1);

function sourceLine(path: string, line: number): string {
  return Deno.readTextFileSync(path).split("\n")[line - 1] ?? "";
}
