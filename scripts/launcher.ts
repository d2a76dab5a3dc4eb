/**
 * The launcher: one file, a few lines for /bin/sh and then the program, in the chunks that esbuild splits it into (one
 * for each `import()` and for what they share). The shell executes Deno in one of two ways
 * (docs/decisions/0008-the-launchers-cache.md):
 *
 * - Always possible: a loader of a few lines (a data: URL) reads the chunks that a command needs from the file and
 *   evaluates them as the bodies of functions. No cache is read or written.
 * - For root, unless BELAY_CACHE=off: that loader also leaves a module in a directory that only root can reach, with
 *   the chunks of the command that it ran. From the next time on the shell executes that module, and Deno keeps V8's
 *   compiled code of it. A module for each command, because V8 takes all that it has stored from a module, used or not.
 *
 * The shell costs 0.4 ms (dash); a `#!/abs/deno` line could pass one argument only, be 255 bytes long, and not say
 * anything when that Deno is gone.
 */

/**
 * What could change how Deno starts, or make it write files (DENO_COVERAGE_DIR), print
 * (RUST_LOG) or wait for somebody (DENO_UNSTABLE_CONTROL_SOCK). From `deno --help` and
 * `strings deno` of 2.4.2 and 2.9.6; those that the launcher sets itself are below.
 */
const UNSET = [
  "DENO_AUDIT_PERMISSIONS",
  "DENO_AUTH_TOKENS",
  "DENO_AUTO_SERVE",
  "DENO_CACHE_DB_MODE",
  "DENO_CERT",
  "DENO_COMPAT",
  "DENO_CONDITIONS",
  "DENO_COVERAGE_DIR",
  "DENO_EMIT_CACHE_MODE",
  "DENO_EXTRA_STDIO_FDS",
  "DENO_INTERNAL_CHILD_ENTRYPOINT",
  "DENO_NODE_TRACE_EVENT_CATEGORIES",
  "DENO_NODE_USE_OPENSSL_CA",
  "DENO_NO_PACKAGE_JSON",
  "DENO_PATCH_REACT_CVE",
  "DENO_SERVE_ADDRESS",
  "DENO_TLS_CA_STORE",
  "DENO_TOKIO_EVENT_INTERVAL",
  "DENO_TOKIO_MAX_IO_EVENTS_PER_TICK",
  "DENO_TRACE_PERMISSIONS",
  "DENO_UNSTABLE_CONTROL_SOCK",
  "DENO_UNSTABLE_OTEL_DETERMINISTIC",
  "DENO_USE_CGROUPS",
  "DENO_USR2_MEMORY_TRIM",
  "DENO_V8_FLAGS",
  "NODE_CHANNEL_FD",
  "NODE_CHANNEL_SERIALIZATION_MODE",
  "NODE_EXTRA_CA_CERTS",
  "NODE_OPTIONS",
  "NODE_V8_COVERAGE",
  "OTEL_DENO",
  "RUST_LOG",
  "SSLKEYLOGFILE",
];

/**
 * A directory that nobody can make. As DENO_DIR it keeps Deno from every cache: it opens no file
 * that another user could have written. As HOME it keeps Deno from ~/.npmrc, which it reads even
 * with --no-npm, and which stops it when there is a mistake in it.
 */
const NOWHERE = "/proc/0";

/**
 * A command of belay lives for some 30 ms: it ends before young objects are worth collecting, and before code is worth
 * optimizing. Without them 5-8 ms of processor time and 3 MiB less.
 */
export const V8_FLAGS = "--min-semi-space-size=16,--no-opt,--no-maglev,--no-sparkplug";

const FLAGS = [
  "--quiet",
  "--allow-all",
  "--no-config",
  "--no-lock",
  "--no-npm",
  "--no-remote",
];

/** Without a cache: what could be found in one is not looked for. */
const UNCACHED_FLAGS = ["--no-code-cache", `--v8-flags=${V8_FLAGS}`];

/** With a cache everything is compiled at once, when it is made, so that nothing is later. */
const CACHED_FLAGS = ["--ext=js", `--v8-flags=${V8_FLAGS},--no-lazy`];

/** Where the cache of a Deno lies, which must be root's alone. Two versions of Deno empty each other's. */
function cacheDirectory(denoVersion: string): string {
  return `/var/cache/belay/deno-${denoVersion}`;
}

/** On a terminal, and only there, Deno complains about having no cache. */
const LOG = "error,deno::cache=off";

/** The chunks of a program by name (`./main.js`), as esbuild writes them. */
export type Chunks = ReadonlyMap<string, string>;

/**
 * The text of the launcher.
 *
 * @param deno the absolute path of the Deno that it executes, and its version
 * @param entry the name of the chunk to begin with
 * @param chunks ES modules that import each other only
 * @param commands for each command, the chunk that is imported when it runs
 */
export async function launcherText(
  deno: { readonly path: string; readonly version: string },
  entry: string,
  chunks: Chunks,
  commands: ReadonlyMap<string, string> = new Map(),
): Promise<string> {
  if (!deno.path.startsWith("/")) throw new Error(`not an absolute path: ${deno.path}`);
  const wanted: Record<string, readonly string[]> = { "": closure(chunks, entry) };
  for (const [name, chunk] of commands) {
    wanted[name.replace(" ", "-")] = closure(chunks, entry, chunk);
  }
  const bodies = [...chunks].map(([name, module]) =>
    mark(name) + functionBody(name, module, name === entry)
  );
  const program = `${bodies.join("\n")}${mark(STORE)}${storeBody(entry, wanted)}${mark("end")}`;
  const head = shellHead(deno, [...commands.keys()], await digest(program), loader(entry));
  return `#!/bin/sh\n${head.join("\n")}\n${program}`;
}

/** What /bin/sh reads; it ends in an exec. @param id names the program in the cache */
function shellHead(
  { path, version }: { readonly path: string; readonly version: string },
  commands: readonly string[],
  id: string,
  loaderCode: string,
): string[] {
  const gone = `belay: this launcher needs Deno at ${path}, which is gone or not executable for ` +
    `this user: run "deno task build" in the sources of belay again`;
  const exec = `exec ${quote(path)} run ${FLAGS.join(" ")}`;
  const cache = cacheDirectory(version);
  return [
    "# Made by belay's scripts/build.ts: see scripts/launcher.ts there.",
    `[ -x ${quote(path)} ] || { echo ${quote(gone)} >&2; exit 1; }`,
    `unset BELAY_CACHED ${UNSET.join(" ")}`,
    `export BELAY_LAUNCHER="$0" BELAY_HOME="\${HOME-}" HOME=${NOWHERE} DENO_DIR=${NOWHERE} ` +
    `DENO_LOG=${LOG} DENO_NO_UPDATE_CHECK=1 DENO_DISABLE_NODE_SHIM=1`,
    // -O: owned by whoever runs this. Root owns / outside of user namespaces.
    `if [ "\${BELAY_CACHE-}" != off ] && [ -O / ] && ` +
    `{ [ -d ${cache} ] || /bin/mkdir -p -m 700 ${cache} 2>/dev/null; } && ` +
    `[ -O ${cache} ] && [ -w ${cache} ]; then`,
    // A guess: what looks like the command may be a flag's value. With the wrong module it takes longer, no more.
    ...guess(commands),
    `m=${cache}/${id}/module-$c.js`,
    `[ -e $m.stored ] || export BELAY_CACHED=$m`,
    `[ -e $m ] && DENO_DIR=${cache} DENO_NO_PACKAGE_JSON=1 ` +
    `${exec} ${CACHED_FLAGS.join(" ")} $m "$@"`,
    `fi`,
    `${exec} ${UNCACHED_FLAGS.join(" ")} ${quote(dataUrl(loaderCode))} "$@"`,
  ];
}

/** Sets `c` to the first argument, or pair of them, that is a command's name. Nothing else gets into a path. */
function guess(commands: readonly string[]): string[] {
  const cases = ["''", ...commands].map((name) => {
    const [first = "", second] = name.split(" ");
    return second === undefined ? ["$a", first] : ["$p $a", `'${first} ${second}'`];
  });
  const among = (subject: string) =>
    cases.flatMap(([of = "", pattern = ""]) => of === subject ? [pattern] : []).join("|");
  const pairs = among("$p $a");
  return [
    `c= p=; for a; do`,
    // Pairs first: the second word of "netns list" is a command of its own, too.
    ...(pairs === "" ? [] : [`case "$p $a" in ${pairs}) c=$p-$a; break; esac; p=$a`]),
    `case $a in ${among("$a")}) c=$a; break; esac`,
    `done`,
  ];
}

/** The chunks of a command: the entry with what it imports at once, and whatever can be reached from the command's. */
function closure(chunks: Chunks, entry: string, command?: string): string[] {
  const reached = new Set<string>();
  const reach = (name: string, imports: RegExp) => {
    if (reached.has(name)) return;
    reached.add(name);
    for (const [, imported = ""] of (chunks.get(name) ?? "").matchAll(imports)) {
      reach(imported, imports);
    }
  };
  reach(entry, /\b(?:from|import)\s*"(\.\/[^"]+)"/g);
  if (command !== undefined) reach(command, /\b(?:from|import)[\s(]*"(\.\/[^"]+)"/g);
  return [...chunks.keys()].filter((name) => reached.has(name));
}

/** Begins and ends a chunk. */
const MARK = "\n//---- ";

function mark(name: string): string {
  return `${MARK}${name}\n`;
}

/** Eight bytes of SHA-256, in hexadecimal. */
async function digest(text: string): Promise<string> {
  const bytes = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(bytes, 0, 8), (byte) => byte.toString(16).padStart(2, "0"))
    .join("");
}

/**
 * Restores the environment, because belay's own children (hooks) are not to see what was meant for its Deno.
 */
const RESTORE = `
const path = Deno.env.get("BELAY_LAUNCHER"), home = Deno.env.get("BELAY_HOME");
const cached = Deno.env.get("BELAY_CACHED");
if (home) Deno.env.set("HOME", home); else Deno.env.delete("HOME");
for (const name of ["BELAY_LAUNCHER", "BELAY_HOME", "BELAY_CACHED", "DENO_DIR", "DENO_LOG",
  "DENO_NO_UPDATE_CHECK", "DENO_DISABLE_NODE_SHIM", "DENO_NO_PACKAGE_JSON"]) Deno.env.delete(name);
`;

/** `load` is what `import()` is to a module: `evaluate` is asked once for each chunk. */
const LOAD = `
const chunks = new Map();
const load = (name) => {
  let chunk = chunks.get(name);
  if (chunk === undefined) chunks.set(name, chunk = evaluate(name));
  return chunk;
};
`;

/** `fromText` cuts a chunk out of the program's `text` and makes it a function, which V8 compiles as it is called. */
const FROM_TEXT = `
const AsyncFunction = (async () => {}).constructor;
const bodyOf = (name) => {
  const mark = ${JSON.stringify(MARK)}, head = mark + name + "\\n";
  const start = text.indexOf(head);
  if (start < 0) throw new Error(path + " was replaced while it ran");
  return text.slice(start + head.length, text.indexOf(mark, start + head.length)) + "\\n";
};
const fromText = (name) => new AsyncFunction("load", bodyOf(name) + "//# sourceURL=belay/" + name)(load);
`;

/** The program without a cache. For root it leaves a module in the cache on the way, for the next time. */
function loader(entry: string): string {
  return `${RESTORE}${LOAD}
const text = Deno.readTextFileSync(path);
${FROM_TEXT}
const evaluate = fromText;
if (cached) (await load(${JSON.stringify(STORE)})).store(cached, text, bodyOf);
await load(${JSON.stringify(entry)});
`;
}

/** The chunk that makes modules for the cache. */
const STORE = "./store";

/** Bytes that the cache may have; past that, programs leave it that nobody has started for long. */
const CACHE_LIMIT = 16 * 1024 * 1024;

/** Bytes past which every other program leaves it, in use or not. */
const CACHE_MOST = 256 * 1024 * 1024;

/**
 * How long a program stays that nobody starts. The shell may have found a module that Deno has not opened yet, so one
 * that is in use must stay. The kernel keeps the time of the last reading to a day (`relatime`, mount(8)).
 */
const UNUSED_MS = 48 * 3600_000;

/** The body of that chunk. @param wanted for each command, the chunks that its module holds */
function storeBody(entry: string, wanted: Readonly<Record<string, readonly string[]>>): string {
  return `
const wanted = ${JSON.stringify(wanted)}, tail = ${JSON.stringify(moduleTail(entry))};
const sizeOf = (directory) => [...Deno.readDirSync(directory)].reduce((sum, { name, isDirectory }) =>
  sum + (isDirectory ? sizeOf : (file) => Deno.statSync(file).size)(directory + "/" + name), 0);
const used = (path) => [...Deno.readDirSync(path)].some(({ name }) => {
  const { atime, mtime } = Deno.statSync(path + "/" + name);
  return Date.now() - Math.max(atime, mtime) < ${UNUSED_MS};
});
const makeRoom = (cache, own) => {
  const size = sizeOf(cache);
  if (size < ${CACHE_LIMIT}) return;
  const entries = [...Deno.readDirSync(cache)].map((entry) => ({ ...entry, path: cache + "/" + entry.name }));
  const programs = entries.filter((entry) => entry.isDirectory && "/" + entry.name !== own);
  const leaving = programs.filter(({ path }) => size > ${CACHE_MOST} || !used(path));
  if (leaving.length === 0) return;
  // Their compiled code lies among everybody's, so all of it goes, and is stored again for those that stay.
  for (const { path, isDirectory } of entries) {
    if (!isDirectory) Deno.removeSync(path);
    else if (leaving.some((each) => each.path === path)) Deno.removeSync(path, { recursive: true });
    else for (const { name } of Deno.readDirSync(path)) {
      if (name.endsWith(".stored")) Deno.removeSync(path + "/" + name);
    }
  }
};
const write = (file, content) => {
  const made = file + "." + Deno.pid;
  Deno.writeTextFileSync(made, content, { mode: 0o600 });
  Deno.renameSync(made, file);
};
const store = (file, text, bodyOf) => {
  const [, cache, program, command] = /^(.*)(\\/[^/]+)\\/module-(.*)\\.js$/.exec(file);
  try {
    makeRoom(cache, program);
    Deno.mkdirSync(cache + program, { recursive: true, mode: 0o700 });
    write(cache + program + "/program", text);
    const bodies = (wanted[command] ?? wanted[""]).map((name) =>
      JSON.stringify(name) + ": async (load) => {" + bodyOf(name) + "},\\n");
    write(file, "const program = {\\n" + bodies.join("") + "};\\n" + tail);
  } catch { /* no room, or somebody else empties it at this moment: this time there is no module, no more */ }
};
return { store };
`;
}

/**
 * The end of a module in the cache. What it does not hold comes from the program's text beside it. The first time that
 * it runs, its exit waits until Deno has stored the compiled code, and notes that it has.
 */
function moduleTail(entry: string): string {
  return `${RESTORE}${LOAD}
let late;
const evaluate = (name) => {
  if (name in program) return program[name](load);
  late ??= evaluator(programText());
  return late(name);
};
const programText = () => {
  try {
    return Deno.readTextFileSync(new URL("program", import.meta.url));
  } catch { // the cache was emptied; the launcher is still there, and, unless it was replaced, the same
    return Deno.readTextFileSync(path);
  }
};
const evaluator = (text) => {
  ${FROM_TEXT}
  return fromText;
};
if (cached) globalThis.belayExit = (code) => setTimeout(() => {
  try {
    Deno.writeTextFileSync(cached + ".stored", "");
  } catch { /* somebody else empties the cache at this moment: the next one tries again */ }
  Deno.exit(code);
}, 100);
await load(${JSON.stringify(entry)});
`;
}

const IMPORT = /^import\s*(?:\{([^}]*)\}\s*from\s*)?"(\.\/[^"]+)";\s*/;
const EXPORT = /export\s*\{([^}]*)\};\s*$/;

/**
 * A chunk as the body of an async function of `load` that returns its exports. Bindings are copied,
 * not live: nothing in belay exports what it assigns to later, and a test sees to that. Chunks do
 * not import each other in circles: what is shared by more entries is never in a chunk of fewer.
 *
 * @throws {Error} when anything is left that only modules have.
 */
function functionBody(name: string, module: string, isEntry: boolean): string {
  let rest = module;
  let head = "";
  for (let match = IMPORT.exec(rest); match !== null; match = IMPORT.exec(rest)) {
    const bindings = renamed(match[1] ?? "", (imported, local) => `${imported}: ${local}`);
    head += `const {${bindings}} = await load(${JSON.stringify(match[2])});\n`;
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
    new AsyncFunction("load", body);
  } catch (cause) {
    throw new Error(`${name} cannot be carried by a launcher`, { cause });
  }
  return body;
}

const AsyncFunction = (async () => {}).constructor as FunctionConstructor;

/** A list such as `a, b as c`, as the properties of an object literal or pattern. */
function renamed(names: string, rename: (name: string, as: string) => string): string {
  return names.split(",").map((each) => {
    const [name = "", as] = each.trim().split(/\s+as\s+/);
    return as === undefined ? name : rename(name, as);
  }).join(", ");
}

function dataUrl(code: string): string {
  return `data:text/javascript,${encodeURIComponent(code.trim())}`;
}

/** As one word for the shell. */
function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
