/**
 * The compiled executable: `deno compile` with a program of a few lines, which takes the text of the command and V8's
 * compiled code of it out of the executable (docs/decisions/0016-one-program-for-each-command.md). That code is made
 * while it is built, by an executable of the same Deno with the same flags, for V8 takes it from nobody else. It is
 * read from the executable alone: `deno compile`'s own cache lies in /tmp, where any user could have put it.
 *
 * Text and code are in the executable, but not among the files that `deno compile` puts there: those, all of them, are
 * read and copied at every start (docs/decisions/0018-beside-denos-own-data.md).
 */
import { BEGIN } from "./begin.ts";
import type { Program } from "./program.ts";

/** A program in the pieces that are read from an executable. */
export interface Pieces {
  /** The text of each piece, in plain ASCII, by name. */
  readonly texts: ReadonlyMap<string, string>;
  /** The commands' names. */
  readonly commands: readonly string[];
  /** For each command's word, the pieces that it may load later, by the chunks that stand for them. */
  readonly later: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** For each chunk that is a command, the word that stands for it. */
  readonly owners: Readonly<Record<string, string>>;
}

/** Cuts a program into pieces. */
export function piecesOf(program: Program): Pieces {
  const texts = new Map<string, string>();
  const later: Record<string, Record<string, string>> = {};
  const owners: Record<string, string> = {};
  for (const [name, { chunk, body, later: groups }] of program.commands) {
    const word = name.replace(" ", "-");
    if (chunk !== undefined) owners[chunk] = word;
    texts.set(`command-${word}`, `(async (load, link) => {${body}\n})`);
    const files: Record<string, string> = {};
    for (const [target, chunks] of Object.entries(groups)) {
      const file = `${word}.${target.slice(2, -3)}`;
      const bodies = chunks.map((each) =>
        `${JSON.stringify(each)}: async (load) => {${program.chunks.get(each) ?? ""}\n}`
      );
      texts.set(file, `({${bodies.join(",\n")}})`);
      files[target] = file;
    }
    later[word] = files;
  }
  return { texts, commands: [...program.commands.keys()], later, owners };
}

/**
 * The producer: a program that writes V8's compiled code of each `NAME.js` in the directory that is its last argument
 * to `NAME.code` there. Started once more with `check` before it, another process of the same kind looks whether V8
 * takes that code back. A program whose code is refused works, but nobody would notice that it starts slowly.
 */
export function producerText({ texts }: Pieces): string {
  return `import vm from "node:vm";
const check = Deno.args[0] === "check", directory = Deno.args.at(-1);
for (const name of ${JSON.stringify([...texts.keys()])}) {
  const text = Deno.readTextFileSync(directory + "/" + name + ".js"), file = directory + "/" + name + ".code";
  if (!check) Deno.writeFileSync(file, new vm.Script(text).createCachedData());
  else if (new vm.Script(text, { cachedData: Deno.readFileSync(file) }).cachedDataRejected !== false) {
    throw new Error("V8 does not take back the compiled code of " + name);
  }
}
`;
}

/** What is added to an executable: all texts and codes, and where each is. */
export interface Load {
  /** The bytes. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** For each piece, where its text begins in them, the text's length and that of the code behind it. */
  readonly table: Readonly<Record<string, readonly [at: number, text: number, code: number]>>;
}

/** Puts the pieces and their compiled code one behind the other. */
export function packLoad(
  { texts }: Pieces,
  codeOf: (name: string) => Uint8Array<ArrayBuffer>,
): Load {
  const parts = [...texts].map(([name, text]) => ({
    name,
    text: new TextEncoder().encode(text),
    code: codeOf(name),
  }));
  const bytes = new Uint8Array(
    parts.reduce((sum, { text, code }) => sum + text.length + code.length, 0),
  );
  const table: Record<string, [number, number, number]> = {};
  let at = 0;
  for (const { name, text, code } of parts) {
    table[name] = [at, text.length, code.length];
    bytes.set(text, at);
    bytes.set(code, at + text.length);
    at += text.length + code.length;
  }
  return { bytes, table };
}

/** The length of what libsui, with which `deno compile` writes, puts at the end of an executable. */
const TRAILER = 16;

/** What that begins with. */
const TRAILER_MAGIC = 0x501e;

/**
 * Where in an executable something can be added. Deno 2.4.2 finds its own data by the executable's last bytes (a magic
 * number, a hash of the data's name, the length of both); so this is before them. A later libsui keeps its data in an ELF
 * note, which the executable's headers name, and then this is the end.
 */
export function placeIn(executable: Uint8Array): number {
  const end = executable.length;
  if (end < TRAILER) return end;
  const trailer = new DataView(executable.buffer, executable.byteOffset + end - TRAILER, TRAILER);
  if (trailer.getUint32(0, true) !== TRAILER_MAGIC) return end;
  const length = trailer.getBigUint64(8, true);
  return length < BigInt(TRAILER) || length > BigInt(end) ? end : end - Number(length);
}

/** As wide for each place, so that a place does not move what stands behind it. */
const PLACE_DIGITS = 12;

/** The main program of the executable in which `load` begins at the byte `place`. */
export function mainText(
  { commands, later, owners }: Pieces,
  { table }: Load,
  place: number,
): string {
  return `import vm from "node:vm";
${BEGIN}
const names = new Set(${JSON.stringify(commands)}), later = ${JSON.stringify(later)};
const table = ${JSON.stringify(table)}, place = ${String(place).padStart(PLACE_DIGITS)};
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
const read = (at, length) => {
  // Not by its path, where there may be another one by now.
  const file = Deno.openSync("/proc/self/exe"), bytes = new Uint8Array(length);
  file.seekSync(place + at, Deno.SeekMode.Start);
  for (let end = 0; end < length;) {
    const more = file.readSync(bytes.subarray(end));
    if (more === null) throw new Error("the executable ends before its program does");
    end += more;
  }
  file.close();
  return bytes;
};
const script = (name) => {
  const [at, length, code] = table[name], bytes = read(at, length + code);
  const text = new TextDecoder().decode(bytes.subarray(0, length)), cachedData = bytes.subarray(length);
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
