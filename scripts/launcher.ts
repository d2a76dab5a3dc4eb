/**
 * The launcher: one file that is a script for /bin/sh in its first lines and a JavaScript module as a whole. The shell
 * executes Deno, in one of two ways (docs/decisions/0008-the-launchers-cache.md):
 *
 * - For root, unless BELAY_CACHE=off, the file itself is the program, and Deno keeps V8's compiled code in a directory that only root can
 *   reach. `belay run` needs 31 ms instead of 44 then, where an empty program needs 12.
 * - For everybody else, and where there can be no such directory: a loader of a few lines (a data: URL) reads the
 *   program from the file and evaluates it as the bodies of functions, which V8 alone sees. A module would first be
 *   parsed by swc, 0.06 ms per kB, which is only fast with a cache.
 *
 * The program is carried in the chunks that esbuild splits it into, one for each `import()` and for what they share, so
 * that without a cache a command pays for its own. The shell costs 0.4 ms (dash); a `#!/abs/deno` line could pass one
 * argument only, be 255 bytes long, and not say anything when that Deno is gone.
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
 */
export async function launcherText(
  deno: { readonly path: string; readonly version: string },
  entry: string,
  chunks: Chunks,
): Promise<string> {
  const { path, version } = deno;
  if (!path.startsWith("/")) throw new Error(`not an absolute path: ${path}`);
  const gone = `belay: this launcher needs Deno at ${path}, which is gone or not executable for ` +
    `this user: run "deno task build" in the sources of belay again`;
  const set = `BELAY_LAUNCHER="$0" BELAY_HOME="\${HOME-}" HOME=${NOWHERE} DENO_DIR=${NOWHERE} ` +
    `DENO_LOG=${LOG} DENO_NO_UPDATE_CHECK=1 DENO_DISABLE_NODE_SHIM=1`;
  const exec = `exec ${quote(path)} run ${FLAGS.join(" ")}`;
  const cache = cacheDirectory(version);
  const shell = [
    "# Made by belay's scripts/build.ts: see scripts/launcher.ts there.",
    `[ -x ${quote(path)} ] || { echo ${quote(gone)} >&2; exit 1; }`,
    `unset ${UNSET.join(" ")}`,
    `export ${set}`,
    // -O: owned by whoever runs this. Root owns / outside of user namespaces.
    `[ "\${BELAY_CACHE-}" != off ] && [ -O / ] && { [ -d ${cache} ] || /bin/mkdir -p -m 700 ${cache} 2>/dev/null; } && ` +
    `[ -O ${cache} ] && [ -w ${cache} ] && ` +
    `DENO_DIR=${cache} DENO_NO_PACKAGE_JSON=1 ${exec} ${CACHED_FLAGS.join(" ")} "$0" "$@"`,
    `${exec} ${UNCACHED_FLAGS.join(" ")} ${quote(dataUrl(loader(entry)))} "$@"`,
  ].map((line) => `":" //; ${line}`);
  const bodies = [...chunks].map(([name, module]) =>
    `${JSON.stringify(name)}: async (load) => {${mark(name)}` +
    `${functionBody(name, module, name === entry)}${mark("end")}},\n`
  ).join("");
  const program = `const program = {\n${bodies}};\n`;
  const bytes = new TextEncoder().encode(program);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const id = Array.from(digest.slice(0, 8), (byte) => byte.toString(16).padStart(2, "0")).join("");
  return `#!/bin/sh\n${shell.join("\n")}\n${program}${RESTORE}${starter(entry, id)}`;
}

/** Bytes that the cache may have, some 20 programs; past that it is emptied, and begins anew. */
const CACHE_LIMIT = 16 * 1024 * 1024;

/** Begins and ends a chunk. */
const MARK = "\n//---- ";

function mark(name: string): string {
  return `${MARK}${name}\n`;
}

/**
 * Restores the environment, because belay's own children (hooks) are not to see what was meant for its Deno.
 */
const RESTORE = `
const path = Deno.env.get("BELAY_LAUNCHER"), home = Deno.env.get("BELAY_HOME");
const cache = Deno.env.get("DENO_DIR");
if (home) Deno.env.set("HOME", home); else Deno.env.delete("HOME");
for (const name of ["BELAY_LAUNCHER", "BELAY_HOME", "DENO_DIR", "DENO_LOG", "DENO_NO_UPDATE_CHECK",
  "DENO_DISABLE_NODE_SHIM", "DENO_NO_PACKAGE_JSON"]) Deno.env.delete(name);
`;

/**
 * The end of the file as a module. `load` is what `import()` is to a module: each chunk is evaluated once, when it is
 * asked for. The first time that this program runs from this path, its exit waits until Deno has stored the compiled
 * code, and notes that it has.
 */
function starter(entry: string, id: string): string {
  return `
const chunks = new Map();
const load = (name) => {
  let chunk = chunks.get(name);
  if (chunk === undefined) chunks.set(name, chunk = program[name](load));
  return chunk;
};
const id = ${JSON.stringify(id)};
const note = cache + "/stored" + path.replaceAll("/", "_");
let noted = "";
try { noted = Deno.readTextFileSync(note); } catch { /* the first time, or not ours to read */ }
if (noted !== id) globalThis.belayExit = (code) => setTimeout(() => {
  try {
    const files = [...Deno.readDirSync(cache)].filter((entry) => entry.isFile)
      .map((entry) => cache + "/" + entry.name);
    const bytes = files.reduce((sum, file) => sum + Deno.statSync(file).size, 0);
    if (bytes > ${CACHE_LIMIT}) for (const file of files) Deno.removeSync(file);
    else Deno.writeTextFileSync(note, id);
  } catch { /* somebody else empties it at this moment: the next one tries again */ }
  Deno.exit(code);
}, 100);
await load(${JSON.stringify(entry)});
`;
}

/** The program without a cache: the chunks are cut out of the file and become functions one by one. */
function loader(entry: string): string {
  return `${RESTORE}
const text = Deno.readTextFileSync(path), chunks = new Map();
const AsyncFunction = (async () => {}).constructor;
const load = (name) => {
  let chunk = chunks.get(name);
  if (chunk === undefined) {
    const mark = ${JSON.stringify(MARK)}, head = mark + name + "\\n";
    const start = text.indexOf(head) + head.length;
    const body = text.slice(start, text.indexOf(mark, start)) + "\\n//# sourceURL=belay/" + name;
    chunks.set(name, chunk = new AsyncFunction("load", body)(load));
  }
  return chunk;
};
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
