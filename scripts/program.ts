/**
 * The program as its executables carry it: not as modules but as bodies of functions, so that what a command does not
 * need is neither read nor compiled when it starts.
 *
 * - For each command one body with all that it surely needs, in one scope: what is spread over modules costs V8 more
 *   than what it does (docs/decisions/0016-one-program-for-each-command.md).
 * - For each chunk that `import()` may load one body more.
 *
 * Both ways to carry them use it: scripts/launcher.ts and scripts/executable.ts.
 */
import { mustRun } from "./step.ts";

/** The chunks of a program by name (`./main.js`), as esbuild writes them. */
export type Chunks = ReadonlyMap<string, string>;

/** A program, taken apart. */
export interface Program {
  /** What a command line begins with, by the command's name; `""` stands for no command. */
  readonly commands: ReadonlyMap<string, CommandProgram>;
  /** Bodies of async functions of `load`; each returns what its chunk exports. */
  readonly chunks: Chunks;
}

/** What a command is made of. */
export interface CommandProgram {
  /** The chunk whose import() means this command. */
  readonly chunk?: string;
  /**
   * The body of an async function of `load` and `link`. It calls `link` with functions that return what chunks export
   * that are part of it, for the chunks that are loaded later.
   */
  readonly body: string;
  /** The chunks that the command may import(), each with the chunks that come with it. */
  readonly later: Readonly<Record<string, readonly string[]>>;
}

/** Where esbuild is: `deno bundle`, which gets it from npm the first time. */
export interface Bundler {
  /** The absolute path of a Deno. */
  readonly deno: string;
  /** Whether names are made short. What is not small is for tests. */
  readonly minify: boolean;
}

/**
 * Takes a program apart.
 *
 * @param chunks ES modules that import each other only
 * @param entry the name of the chunk to begin with
 * @param commands for each command, the chunk that is imported when it runs
 * @throws {Error} when anything is left that only modules have
 */
export async function takeApart(
  chunks: Chunks,
  entry: string,
  commands: ReadonlyMap<string, string>,
  bundler: Bundler,
): Promise<Program> {
  const all = new Map([["", undefined], ...commands] as [string, string | undefined][]);
  const imported = new Set([...chunks.values()].flatMap(lateImports));
  const owned = new Set(commands.values());
  const bodies = new Map(
    [...chunks].map(([name, module]) => [name, functionBody(name, module, name === entry)]),
  );
  const plans = [...all].map(([name, chunk]) => {
    const surely = reach(chunks, [entry, ...(chunk === undefined ? [] : [chunk])], earlyImports);
    const later: Record<string, string[]> = {};
    const found = [...surely];
    for (let at = 0; at < found.length; at++) {
      // Other commands are imported by the list of commands alone, and never run beside this one.
      for (const target of lateImports(chunks.get(found[at] ?? "") ?? "")) {
        if (owned.has(target) || surely.has(target) || target in later) continue;
        const group = [...reach(chunks, [target], earlyImports)].filter((each) =>
          !surely.has(each)
        );
        later[target] = group;
        found.push(...group);
      }
    }
    const shared = new Set(
      Object.values(later).flat().flatMap((each) => earlyImports(chunks.get(each) ?? "")),
    );
    return {
      ...{ name, chunk, later },
      linked: [...shared].filter((each) => surely.has(each)),
    };
  });
  const flat = await flatten(chunks, entry, plans, imported, bundler);
  return {
    chunks: bodies,
    commands: new Map(plans.map(({ name, chunk, later }, index) => [name, {
      ...(chunk === undefined ? {} : { chunk }),
      body: functionBody(`the program of ${name || "no command"}`, flat[index] ?? "", true),
      later,
    }])),
  };
}

interface Plan {
  readonly chunk: string | undefined;
  /** The chunks that others, loaded later, import. */
  readonly linked: readonly string[];
}

/** One module for each plan, in which everything that is surely needed has one scope. */
async function flatten(
  chunks: Chunks,
  entry: string,
  plans: readonly Plan[],
  imported: ReadonlySet<string>,
  { deno, minify }: Bundler,
): Promise<string[]> {
  const directory = await Deno.makeTempDir();
  try {
    const write = (name: string, text: string) => Deno.writeTextFile(`${directory}/${name}`, text);
    for (const [name, text] of chunks) {
      await write(name, text.replaceAll("import.meta.main", String(name === entry)));
    }
    for (const [index, { chunk, linked }] of plans.entries()) {
      // Under another name, because what is imported by import() is left out.
      if (chunk !== undefined) await write(`own${index}.js`, chunks.get(chunk) ?? "");
      // Before the entry begins, which may load something at once.
      await write(`link${index}.js`, linking(chunks, index, chunk, linked));
      await write(`flat${index}.js`, `import "./link${index}.js";\nimport "${entry}";\n`);
    }
    await mustRun([
      ...[deno, "bundle", "--quiet", ...(minify ? ["--minify"] : [])],
      ...[...imported].flatMap((name) => ["--external", name]),
      ...["--outdir", `${directory}/flat`],
      ...plans.map((_, index) => `${directory}/flat${index}.js`),
    ], { cwd: directory });
    return await Promise.all(
      plans.map((_, index) => Deno.readTextFile(`${directory}/flat/flat${index}.js`)),
    );
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** The module that imports the command, and tells `link` what others may ask for. */
function linking(
  chunks: Chunks,
  index: number,
  chunk: string | undefined,
  linked: readonly string[],
): string {
  const imports: string[] = [];
  const entries: string[] = [];
  const add = (name: string, from: string) => {
    const names = exportsOf(chunks.get(name) ?? "");
    const local = (each: string) => `linked${entries.length}_${each}`;
    const list = (with_: (each: string) => string) => names.map(with_).join(", ");
    imports.push(
      `import {${list((each) => `${each} as ${local(each)}`)}} from ${JSON.stringify(from)};\n`,
    );
    entries.push(
      `${JSON.stringify(name)}: () => ({${list((each) => `${each}: ${local(each)}`)}})`,
    );
  };
  if (chunk !== undefined) add(chunk, `./own${index}.js`);
  for (const name of linked) if (name !== chunk) add(name, name);
  return `${imports.join("")}link({${entries.join(", ")}});\n`;
}

/** What can be reached from these chunks. */
function reach(
  chunks: Chunks,
  from: readonly string[],
  imports: (module: string) => string[],
): Set<string> {
  const reached = new Set(from);
  for (const name of reached) {
    for (const imported of imports(chunks.get(name) ?? "")) reached.add(imported);
  }
  return reached;
}

/** What a chunk imports before it begins. */
function earlyImports(module: string): string[] {
  return [...module.matchAll(/\b(?:from|import)\s*"(\.\/[^"]+)"/g)].map(([, name = ""]) => name);
}

/** What a chunk may import() later. */
function lateImports(module: string): string[] {
  return [...module.matchAll(/\bimport\("(\.\/[^"]+)"\)/g)].map(([, name = ""]) => name);
}

/** The names that a chunk exports. */
function exportsOf(module: string): string[] {
  const [, list = ""] = EXPORT.exec(module) ?? [];
  return bindings(list).map(([name, as = name]) => as);
}

/** Begins and ends a part of a program's text. */
export const MARK = "\n//---- ";

const IMPORT = /^import\s*(?:\{([^}]*)\}\s*from\s*)?"(\.\/[^"]+)";\s*/;
const EXPORT = /export\s*\{([^}]*)\};\s*$/;

/**
 * A chunk as the body of an async function of `load` that returns its exports. Bindings are copied,
 * not live: nothing in belay exports what it assigns to later, and a test sees to that. Chunks do
 * not import each other in circles: what is shared by more entries is never in a chunk of fewer.
 */
function functionBody(name: string, module: string, isEntry: boolean): string {
  let rest = module;
  let head = "";
  for (let match = IMPORT.exec(rest); match !== null; match = IMPORT.exec(rest)) {
    const names = renamed(match[1] ?? "", (imported, local) => `${imported}: ${local}`);
    head += `const {${names}} = await load(${JSON.stringify(match[2])});\n`;
    rest = rest.slice(match[0].length);
  }
  const body = head + rest
    .replace(EXPORT, (_, names: string) => {
      return `return {${renamed(names, (local, exported) => `${exported}: ${local}`)}};`;
    })
    .replaceAll("import.meta.main", String(isEntry))
    .replaceAll(/\bimport\("\.\//g, 'load("./')
    // esbuild leaves them in comments only. One makes V8 hold the whole text in two bytes a
    // character, and then 300 kB take 0.7 ms longer to read.
    .replaceAll(/[^\0-\x7f]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
  if (body.includes(MARK)) throw new Error(`${name} holds ${JSON.stringify(MARK)}`);
  try {
    new AsyncFunction("load", "link", body);
  } catch (cause) {
    throw new Error(`${name} cannot be carried by an executable`, { cause });
  }
  return body;
}

const AsyncFunction = (async () => {}).constructor as FunctionConstructor;

/** A list such as `a, b as c`, as the properties of an object literal or pattern. */
function renamed(names: string, rename: (name: string, as: string) => string): string {
  return bindings(names).map(([name, as]) => as === undefined ? name : rename(name, as)).join(", ");
}

function bindings(names: string): [name: string, as?: string][] {
  return names.split(",").map((each) => each.trim()).filter((each) => each !== "").map((each) => {
    const [name = "", as] = each.split(/\s+as\s+/);
    return as === undefined ? [name] : [name, as];
  });
}
