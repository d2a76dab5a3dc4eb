/**
 * The launcher: one file, a few lines for /bin/sh and then the program as scripts/program.ts takes it apart. The shell
 * executes Deno in one of two ways (docs/decisions/0008-the-launchers-cache.md):
 *
 * - Always possible: a loader of a few lines (a data: URL) reads the program of the command from the file and evaluates
 *   it. No cache is read or written.
 * - For root, unless BELAY_CACHE=off: that loader also leaves a module in a directory that only root can reach, with
 *   the program of the command that it ran. From the next time on the shell executes that module, and Deno keeps V8's
 *   compiled code of it. A module for each command, because V8 takes all that it has stored from a module, used or not;
 *   and one for each thing that a command loads later, once it was needed.
 *
 * The shell costs 0.4 ms (dash); a `#!/abs/deno` line could pass one argument only, be 255 bytes long, and not say
 * anything when that Deno is gone.
 */
import { MARK, type Program } from "./program.ts";
import { BEGIN } from "./begin.ts";

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
 * Where Deno starts when the working directory was deleted: in such a one it does not start at all. Nothing can be made
 * there, and no name that anybody would give is found.
 */
const NO_DIRECTORY = "/proc/self/fdinfo";

/**
 * A command of belay lives for some 30 ms: it ends before young objects are worth collecting, and before code is worth
 * optimizing. Without them 5-8 ms of processor time and 3 MiB less.
 */
const V8_FLAGS = "--min-semi-space-size=16,--no-opt,--no-maglev,--no-sparkplug";

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

/** Where compiled code is kept, everything is compiled at once, when it is made, so that nothing is later. */
export const COMPILED_V8_FLAGS = `${V8_FLAGS},--no-lazy`;

const CACHED_FLAGS = ["--ext=js", `--v8-flags=${COMPILED_V8_FLAGS}`];

/** Where the cache of a Deno lies, which must be root's alone. Two versions of Deno empty each other's. */
function cacheDirectory(denoVersion: string): string {
  return `/var/cache/belay/deno-${denoVersion}`;
}

/** On a terminal, and only there, Deno complains about having no cache. */
const LOG = "error,deno::cache=off";

/**
 * The text of the launcher.
 *
 * @param deno the absolute path of the Deno that it executes, and its version
 */
export async function launcherText(
  deno: { readonly path: string; readonly version: string },
  program: Program,
): Promise<string> {
  if (!deno.path.startsWith("/")) throw new Error(`not an absolute path: ${deno.path}`);
  const parts = [
    ...[...program.commands].map(([name, { body }]) => part(programOf(name), body)),
    ...[...program.chunks].map(([name, body]) => part(name, body)),
    part(STORE, storeBody(program)),
  ];
  const text = `${parts.join("")}${MARK}end\n`;
  const head = shellHead(deno, [...program.commands.keys()], await digest(text), program);
  return `#!/bin/sh\n${head.join("\n")}\n${text}`;
}

function part(name: string, body: string): string {
  return `${MARK}${name}\n${body}`;
}

/** The name of the part that holds a command's program. */
function programOf(command: string): string {
  return `program ${wordOf(command)}`;
}

/** A command's name in names of files and parts. */
function wordOf(command: string): string {
  return command.replace(" ", "-");
}

/** What /bin/sh reads; it ends in an exec. @param id names the program in the cache */
function shellHead(
  { path, version }: { readonly path: string; readonly version: string },
  commands: readonly string[],
  id: string,
  program: Program,
): string[] {
  const gone = `belay: this launcher needs Deno at ${path}, which is gone or not executable for ` +
    `this user: run "deno task build" in the sources of belay again`;
  const exec = `exec ${quote(path)} run ${FLAGS.join(" ")}`;
  const cache = cacheDirectory(version);
  return [
    "# Made by belay's scripts/build.ts: see scripts/launcher.ts there.",
    `[ -x ${quote(path)} ] || { echo ${quote(gone)} >&2; exit 1; }`,
    `unset BELAY_CACHED ${UNSET.join(" ")}`,
    // The shell has a PWD that leads to another directory, or to none, only when getcwd(3) did not tell it a better one.
    `[ . -ef "\${PWD-}" ] || cd ${NO_DIRECTORY}`,
    // A guess: what looks like the command may be a flag's value. Then the program begins again, with the right one.
    ...guess(commands),
    `export BELAY_COMMAND="$c" BELAY_LAUNCHER="$0" BELAY_HOME="\${HOME-}" HOME=${NOWHERE} ` +
    `DENO_DIR=${NOWHERE} DENO_LOG=${LOG} DENO_NO_UPDATE_CHECK=1 DENO_DISABLE_NODE_SHIM=1`,
    // -O: owned by whoever runs this. Root owns / outside of user namespaces.
    `if [ "\${BELAY_CACHE-}" != off ] && [ -O / ] && ` +
    `{ [ -d ${cache} ] || /bin/mkdir -p -m 700 ${cache} 2>/dev/null; } && ` +
    `[ -O ${cache} ] && [ -w ${cache} ]; then`,
    `m=${cache}/${id}/module-$c.js`,
    `[ -e $m.stored ] || export BELAY_CACHED=$m`,
    `[ -e $m ] && DENO_DIR=${cache} DENO_NO_PACKAGE_JSON=1 ` +
    `${exec} ${CACHED_FLAGS.join(" ")} $m "$@"`,
    `fi`,
    `${exec} ${UNCACHED_FLAGS.join(" ")} ${quote(dataUrl(loader(program)))} "$@"`,
  ];
}

/** Sets `c` to the first argument, or pair of them, that is a command's name. Nothing else gets into a path. */
function guess(commands: readonly string[]): string[] {
  const cases = ["''", ...commands.filter((name) => name !== "")].map((name) => {
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
const cached = Deno.env.get("BELAY_CACHED"), command = Deno.env.get("BELAY_COMMAND");
if (home) Deno.env.set("HOME", home); else Deno.env.delete("HOME");
for (const name of ["BELAY_LAUNCHER", "BELAY_HOME", "BELAY_CACHED", "BELAY_COMMAND", "DENO_DIR", "DENO_LOG",
  "DENO_NO_UPDATE_CHECK", "DENO_DISABLE_NODE_SHIM", "DENO_NO_PACKAGE_JSON"]) Deno.env.delete(name);
`;

/** \`partOf\` cuts a part out of the program's text; \`fromText\` makes it a function, which V8 compiles as it is called. */
const FROM_TEXT = `
const AsyncFunction = (async () => {}).constructor;
const partOf = (name) => {
  const mark = ${JSON.stringify(MARK)}, head = mark + name + "\\n";
  const start = text().indexOf(head);
  if (start < 0) throw new Error(path + " was replaced while it ran");
  return text().slice(start + head.length, text().indexOf(mark, start + head.length)) + "\\n";
};
const fromText = (name) =>
  new AsyncFunction("load", "link", partOf(name) + "//# sourceURL=belay/" + name.replace(" ", "/"));
`;

/** The program without a cache. For root it leaves a module in the cache on the way, for the next time. */
function loader(program: Program): string {
  return `${RESTORE}${BEGIN}
const content = Deno.readTextFileSync(path), text = () => content;
${FROM_TEXT}
if (cached) (await fromText(${JSON.stringify(STORE)})()).store(cached, content, partOf);
await begin(command, {
  owners: ${JSON.stringify(owners(program))},
  programOf: (command) => fromText("program " + command),
  chunkOf: fromText,
});
`;
}

/** For each chunk that is a command, the word that stands for it. */
function owners({ commands }: Program): Record<string, string> {
  const found = [...commands].flatMap(([name, { chunk }]) =>
    chunk === undefined ? [] : [[chunk, wordOf(name)]]
  );
  return Object.fromEntries(found);
}

/** The part that makes modules for the cache. */
const STORE = "store";

/** Bytes that the cache may have; past that, programs leave it that nobody has started for long. */
const CACHE_LIMIT = 32 * 1024 * 1024;

/** Bytes past which every other program leaves it, in use or not. */
const CACHE_MOST = 256 * 1024 * 1024;

/**
 * How long a program stays that nobody starts. The shell may have found a module that Deno has not opened yet, so one
 * that is in use must stay. The kernel keeps the time of the last reading to a day (`relatime`, mount(8)).
 */
const UNUSED_MS = 48 * 3600_000;

/** Makes a file of the cache: nobody finds half of it. */
const WRITE = `
const write = (file, content) => {
  const made = file + "." + Deno.pid;
  Deno.writeTextFileSync(made, content, { mode: 0o600 });
  Deno.renameSync(made, file);
};
`;

/** The body of that part. */
function storeBody(program: Program): string {
  const later = Object.fromEntries(
    [...program.commands].map(([name, { later }]) => [wordOf(name), later]),
  );
  return `
const later = ${JSON.stringify(later)}, tail = ${JSON.stringify(moduleTail(program))};
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
${WRITE}
const store = (file, text, partOf) => {
  const [, cache, program, command] = /^(.*)(\\/[^/]+)\\/module-(.*)\\.js$/.exec(file);
  try {
    makeRoom(cache, program);
    Deno.mkdirSync(cache + program, { recursive: true, mode: 0o700 });
    write(cache + program + "/program", text);
    write(file, "const program = async (load, link) => {" + partOf("program " + command) + "};\\n" +
      "const later = " + JSON.stringify(later[command]) + ";\\n" + tail);
  } catch { /* no room, or somebody else empties it at this moment: this time there is no module, no more */ }
};
return { store };
`;
}

/**
 * The end of a module in the cache. What is loaded later has modules of its own beside it, each made when it is needed
 * for the first time. Whenever a module was compiled, the exit waits until Deno has stored the code, and notes it.
 */
function moduleTail(program: Program): string {
  return `${RESTORE}${BEGIN}${WRITE}
let content;
const text = () => {
  try {
    return content ??= Deno.readTextFileSync(new URL("program", import.meta.url));
  } catch { // the cache was emptied; the launcher is still there, and, unless it was replaced, the same
    return content ??= Deno.readTextFileSync(path);
  }
};
${FROM_TEXT}
const compiled = cached ? [cached] : [];
const exists = (file) => {
  try {
    return Deno.statSync(file).isFile;
  } catch { // whatever the reason is: it cannot be used
    return false;
  }
};
const stored = async (target) => {
  const file = import.meta.url.slice(7, -3) + "." + target.slice(2);
  if (!exists(file)) {
    const bodies = later[target].map((name) => JSON.stringify(name) + ": async (load) => {" + partOf(name) + "}");
    try {
      write(file, "export const bodies = {" + bodies.join(",\\n") + "};\\n");
    } catch { /* no room, or somebody else empties it at this moment: this time there is no module, no more */ }
    return {};
  }
  if (!exists(file + ".stored")) compiled.push(file);
  return (await import("file://" + file)).bodies;
};
const bodies = {};
globalThis.belayExit = (code) => compiled.length === 0 ? Deno.exit(code) : setTimeout(() => {
  try {
    for (const each of compiled) Deno.writeTextFileSync(each + ".stored", "");
  } catch { /* somebody else empties the cache at this moment: the next one tries again */ }
  Deno.exit(code);
}, 100);
await begin(command, {
  owners: ${JSON.stringify(owners(program))},
  programOf: (other) => other === command ? program : fromText("program " + other),
  chunkOf: async (name, of) => {
    if (of === command && name in later) Object.assign(bodies, await stored(name));
    return bodies[name] ?? fromText(name);
  },
});
`;
}

function dataUrl(code: string): string {
  return `data:text/javascript,${encodeURIComponent(code.trim())}`;
}

/** As one word for the shell. */
function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
