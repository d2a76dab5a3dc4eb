/**
 * The compiled executable: `deno compile` with a program of a few lines, which takes the text of the command and V8's
 * compiled code of it out of the executable (docs/decisions/0016-one-program-for-each-command.md). That code is made
 * while it is built, by an executable of the same Deno with the same flags, for V8 takes it from nobody else. It is
 * read from the executable alone: `deno compile`'s own cache lies in /tmp, where any user could have put it.
 */
import { BEGIN } from "./begin.ts";
import type { Program } from "./program.ts";

/** The directory in the executable where the program is. */
const PLACE = "program";

/** Writes a file of those that the executable is made of. */
type Write = (name: string, content: string) => void;

/**
 * Writes what the executable is made of: `main.js` and the directory `program`, and `produce.js`. An executable of
 * `produce.js` writes V8's compiled code into the directory that is its argument, a file for each `.js` in `program`;
 * started once more with `check` before it, another process of the same kind looks whether V8 takes that code back. A
 * program whose code is refused works, but nobody would notice that it starts slowly.
 */
export function writeParts(program: Program, write: Write): void {
  const scripts: string[] = [];
  const script = (name: string, text: string) => {
    scripts.push(name);
    write(`${PLACE}/${name}.js`, text);
  };
  const later: Record<string, Record<string, string>> = {};
  const owners: Record<string, string> = {};
  for (const [name, { chunk, body, later: groups }] of program.commands) {
    const word = name.replace(" ", "-");
    if (chunk !== undefined) owners[chunk] = word;
    script(`command-${word}`, `(async (load, link) => {${body}\n})`);
    const files: Record<string, string> = {};
    for (const [target, chunks] of Object.entries(groups)) {
      const file = `${word}.${target.slice(2, -3)}`;
      const bodies = chunks.map((each) =>
        `${JSON.stringify(each)}: async (load) => {${program.chunks.get(each) ?? ""}\n}`
      );
      script(file, `({${bodies.join(",\n")}})`);
      files[target] = file;
    }
    later[word] = files;
  }
  write("produce.js", produce(scripts));
  write("main.js", main([...program.commands.keys()], later, owners));
}

/** The directory of `writeParts` that goes into the executable with `main.js` and `produce.js`. */
export const INCLUDED = PLACE;

function produce(scripts: readonly string[]): string {
  return `import vm from "node:vm";
const check = Deno.args[0] === "check", directory = Deno.args.at(-1);
for (const name of ${JSON.stringify(scripts)}) {
  const text = Deno.readTextFileSync(new URL("${PLACE}/" + name + ".js", import.meta.url));
  const file = directory + "/" + name + ".code";
  if (!check) Deno.writeFileSync(file, new vm.Script(text).createCachedData());
  else if (new vm.Script(text, { cachedData: Deno.readFileSync(file) }).cachedDataRejected !== false) {
    throw new Error("V8 does not take back the compiled code of " + name);
  }
}
`;
}

function main(
  names: readonly string[],
  later: Readonly<Record<string, Readonly<Record<string, string>>>>,
  owners: Readonly<Record<string, string>>,
): string {
  return `import vm from "node:vm";
${BEGIN}
const names = new Set(${JSON.stringify(names)}), later = ${JSON.stringify(later)};
const guess = () => {
  let before = "";
  for (const word of Deno.args) {
    // Pairs first: the second word of "netns list" is a command of its own, too.
    if (names.has(before + " " + word)) return before + "-" + word;
    if (names.has(word) && !word.includes(" ")) return word;
    before = word;
  }
  return "";
};
const script = (name) => {
  const place = new URL("${PLACE}/" + name, import.meta.url).pathname;
  const text = Deno.readTextFileSync(place + ".js"), cachedData = Deno.readFileSync(place + ".code");
  // V8 compiles the text where the code is not for this machine's V8.
  return new vm.Script(text, { cachedData, filename: "belay/" + name }).runInThisContext();
};
const bodies = {};
await begin(guess(), {
  owners: ${JSON.stringify(owners)},
  programOf: (command) => script("command-" + command),
  chunkOf: (name, command) => {
    if (bodies[name] === undefined) Object.assign(bodies, script(later[command][name]));
    return bodies[name];
  },
});
`;
}
