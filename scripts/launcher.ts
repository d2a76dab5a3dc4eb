/**
 * The launcher: one file, a few lines for /bin/sh and behind them the bundle. The shell executes
 * Deno with a tiny loader (a data: URL), which reads the bundle from the file and evaluates it.
 *
 * - The shell costs 0.4 ms (dash). A `#!/abs/deno` line could pass one argument only, be 255 bytes
 *   long, and not say anything when that Deno is gone.
 * - The loader is there because Deno parses a module with swc before V8 does, at 0.08 ms per kB,
 *   and keeps the result in a cache in DENO_DIR; we want no cache (below). A function made from
 *   text is seen by V8 alone: 345 kB took 7 ms instead of 40.
 */

/**
 * What could change how Deno starts, or make it write files (DENO_COVERAGE_DIR), print
 * (DENO_LOG) or wait for somebody (DENO_UNSTABLE_CONTROL_SOCK). From `deno --help` and
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
  "DENO_LOG",
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

const FLAGS = [
  "--quiet",
  "--allow-all",
  "--no-config",
  "--no-lock",
  "--no-npm",
  "--no-remote",
  "--no-code-cache",
];

/** Ends what is for the shell. */
const MARK = "\n#---- belay.js ----\n";

/**
 * The text of the launcher.
 *
 * @param deno the absolute path of the Deno that it executes
 * @param bundle an ES module in one file, without imports
 */
export function launcherText(deno: string, bundle: string): string {
  if (!deno.startsWith("/")) throw new Error(`not an absolute path: ${deno}`);
  const gone = `belay: this launcher needs Deno at ${deno}, which is gone or not executable for ` +
    `this user: run "deno task build" in the sources of belay again`;
  const set = `BELAY_LAUNCHER="$0" BELAY_HOME="\${HOME-}" HOME=${NOWHERE} DENO_DIR=${NOWHERE} ` +
    "DENO_NO_UPDATE_CHECK=1 DENO_DISABLE_NODE_SHIM=1";
  return [
    "#!/bin/sh",
    "# Made by belay's scripts/build.ts: see scripts/launcher.ts there.",
    `[ -x ${quote(deno)} ] || { echo ${quote(gone)} >&2; exit 1; }`,
    `unset ${UNSET.join(" ")}`,
    `export ${set}`,
    `exec ${quote(deno)} run ${FLAGS.join(" ")} ${quote(dataUrl(LOADER))} "$@"`,
  ].join("\n") + MARK + functionBody(bundle);
}

/**
 * Restores the environment, because belay's own children (hooks) are not to see what was meant for
 * its Deno, and runs the bundle.
 */
const LOADER = `
const path = Deno.env.get("BELAY_LAUNCHER"), home = Deno.env.get("BELAY_HOME");
if (home) Deno.env.set("HOME", home); else Deno.env.delete("HOME");
for (const name of ["BELAY_LAUNCHER", "BELAY_HOME", "DENO_DIR", "DENO_NO_UPDATE_CHECK",
  "DENO_DISABLE_NODE_SHIM"]) Deno.env.delete(name);
const text = Deno.readTextFileSync(path), mark = ${JSON.stringify(MARK)};
await new (async () => {}).constructor(text.slice(text.indexOf(mark) + mark.length))();
`;

/** The module as the body of an async function: `await` may stay, what only modules have may not. */
function functionBody(bundle: string): string {
  const body = bundle.replace(/^export \{[^}]*\};?\s*$/m, "").replaceAll(
    "import.meta.main",
    "true",
  );
  if (/\bimport\.meta\b|^(?:import|export)\b/m.test(body)) {
    throw new Error("the bundle uses import.meta, or imports: a launcher cannot carry it");
  }
  return `${body}\n//# sourceURL=belay.js\n`;
}

function dataUrl(code: string): string {
  return `data:text/javascript,${encodeURIComponent(code.trim())}`;
}

/** As one word for the shell. */
function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
