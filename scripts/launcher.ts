/**
 * The launcher: one file, a few lines for /bin/sh and behind them the program. The shell executes
 * Deno with a tiny loader (a data: URL), which reads the program from the file and evaluates it.
 *
 * - The shell costs 0.4 ms (dash). A `#!/abs/deno` line could pass one argument only, be 255 bytes
 *   long, and not say anything when that Deno is gone.
 * - Deno parses a module with swc before V8 does, at 0.06 ms per kB, and keeps what it learns in a
 *   cache in DENO_DIR; we want no cache (below). A function made from text is seen by V8 alone.
 * - V8 takes another 0.02 ms per kB. So the program is carried in the chunks that esbuild splits it
 *   into, one for each `import()` and for what they share, and a command pays for its own.
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
  "--no-code-cache",
  `--v8-flags=${V8_FLAGS}`,
];

/** On a terminal, and only there, Deno complains about having no cache. */
const LOG = "error,deno::cache=off";

/** The chunks of a program by name (`./main.js`), as esbuild writes them. */
export type Chunks = ReadonlyMap<string, string>;

/**
 * The text of the launcher.
 *
 * @param deno the absolute path of the Deno that it executes
 * @param entry the name of the chunk to begin with
 * @param chunks ES modules that import each other only
 */
export function launcherText(deno: string, entry: string, chunks: Chunks): string {
  if (!deno.startsWith("/")) throw new Error(`not an absolute path: ${deno}`);
  const gone = `belay: this launcher needs Deno at ${deno}, which is gone or not executable for ` +
    `this user: run "deno task build" in the sources of belay again`;
  const set = `BELAY_LAUNCHER="$0" BELAY_HOME="\${HOME-}" HOME=${NOWHERE} DENO_DIR=${NOWHERE} ` +
    `DENO_LOG=${LOG} DENO_NO_UPDATE_CHECK=1 DENO_DISABLE_NODE_SHIM=1`;
  const shell = [
    "#!/bin/sh",
    "# Made by belay's scripts/build.ts: see scripts/launcher.ts there.",
    `[ -x ${quote(deno)} ] || { echo ${quote(gone)} >&2; exit 1; }`,
    `unset ${UNSET.join(" ")}`,
    `export ${set}`,
    `exec ${quote(deno)} run ${FLAGS.join(" ")} ${quote(dataUrl(loader(entry)))} "$@"`,
  ].join("\n");
  const program = [...chunks].map(([name, module]) =>
    mark(name) + functionBody(name, module, name === entry)
  );
  return shell + program.join("") + mark("end");
}

/** Begins a chunk. To the shell it is a comment, but `exec` has ended the shell before. */
const MARK = "\n#---- ";

function mark(name: string): string {
  return `${MARK}${name}\n`;
}

/**
 * Restores the environment, because belay's own children (hooks) are not to see what was meant for
 * its Deno, and evaluates the entry. `load` is what `import()` is to a module: each chunk is
 * evaluated once, when it is asked for.
 */
function loader(entry: string): string {
  return `
const path = Deno.env.get("BELAY_LAUNCHER"), home = Deno.env.get("BELAY_HOME");
if (home) Deno.env.set("HOME", home); else Deno.env.delete("HOME");
for (const name of ["BELAY_LAUNCHER", "BELAY_HOME", "DENO_DIR", "DENO_LOG", "DENO_NO_UPDATE_CHECK",
  "DENO_DISABLE_NODE_SHIM"]) Deno.env.delete(name);
const text = Deno.readTextFileSync(path), chunks = new Map();
const AsyncFunction = (async () => {}).constructor;
const load = (name) => {
  let chunk = chunks.get(name);
  if (chunk === undefined) {
    const mark = ${JSON.stringify(MARK)}, head = mark + name + "\\n";
    const start = text.indexOf(head) + head.length;
    chunk = new AsyncFunction("load", text.slice(start, text.indexOf(mark, start)))(load);
    chunks.set(name, chunk);
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
    .replaceAll(/[^\0-\x7f]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`) +
    `\n//# sourceURL=${name.replace("./", "belay/")}`;
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
