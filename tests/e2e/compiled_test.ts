import { assert, assertEquals } from "@std/assert";
import { placeIn } from "../../scripts/executable.ts";
import { testUnless } from "../skip.ts";
import { belayPath, isLauncher } from "./belay.ts";

const launcher = isLauncher ? "this is a launcher" : undefined;

testUnless(launcher, "the compiled executable: little is copied at each start", async () => {
  const executable = await Deno.readFile(belayPath);
  const place = placeIn(executable);
  // All programs take some 10 MB. Were they there, each start would take 15 ms longer.
  const own = executable.length - place;
  assert(own < 100_000, `Deno reads ${own} bytes`);
});

testUnless(launcher, "the compiled executable holds its programs' text as it is", async () => {
  const executable = await Deno.readFile(belayPath);
  const text = new TextDecoder("latin1").decode(executable);
  assertEquals(text.match(/^const table = \{/gm)?.length, 1);
  const [, table = "", place = ""] = /^const table = (\{.*\}), place = +(\d+);$/m.exec(text) ?? [];
  const entries = Object.entries(JSON.parse(table) as Record<string, [number, number, number]>);
  assert(entries.length > 20);
  const end = Math.max(...entries.map(([, [at, text, code]]) => at + text + code));
  assertEquals(Number(place) + end, placeIn(executable));
  for (const [name, [at, length]] of entries) {
    const begin = Number(place) + at;
    const piece = text.slice(begin, begin + length);
    assert(/^\((async \(load, link\) => )?\{[^]*\}\)$/.test(piece), name);
  }
});
