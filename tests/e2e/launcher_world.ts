import { launcherText } from "../../scripts/launcher.ts";
import { takeApart } from "../../scripts/program.ts";
import { inTempDir } from "./belay.ts";

/** A launcher for a program of our own. `work` is called without the cache, and, for root, as often as it makes a difference. */
export async function withLauncher(
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
export function placeInCache(launcher: string): string {
  const place = /^m=(\S+)\/module-\$c\.js$/m.exec(launcher)?.[1];
  if (place === undefined) throw new Error("the launcher has no place in the cache");
  return place;
}

/** A program with a command of one word and one of two; the last word tells which. */
export const TWO_COMMANDS = new Map([
  [
    "./a.js",
    'const name = Deno.args.at(-1).replace("../../", "");\nconst { say } = await (name === "one" ? import("./one.js") : import("./two.js"));\n' +
    "say();\nDeno.exit(0);\n",
  ],
  ["./one.js", 'import{word}from"./word.js";const say=()=>console.log(word+" one");export{say};\n'],
  ["./two.js", 'import{word}from"./word.js";const say=()=>console.log(word+" two");export{say};\n'],
  ["./word.js", 'const word="this is";export{word};\n'],
]);
export const COMMANDS_OF_TWO = new Map([["one", "./one.js"], ["net two", "./two.js"]]);
