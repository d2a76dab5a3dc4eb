/**
 * `deno task build`: bundles belay into one JavaScript file and makes one executable of it:
 * a compiled one where Deno's base binary (denort) can be had, else a launcher.
 *
 * Usage: deno run -A scripts/build.ts [--entry FILE] [--out FILE] [--deno FILE] [--launcher]
 *
 *   --entry FILE  what is built (default: main.ts)
 *   --out FILE    the executable (default: dist/belay); the bundle lies beside it, as FILE.js
 *   --deno FILE   the Deno that compiles or that the launcher runs (default: the one beside
 *                 DENORT_BIN, else the running one)
 *   --launcher    do not try to compile
 *   DENORT_BIN    the base binary; it must be of the very version of --deno
 */
import { parseArgs } from "@std/cli/parse-args";
import { COMMANDS } from "../runtime/cli/command_table.ts";
import { mainText, packLoad, piecesOf, placeIn, producerText } from "./executable.ts";
import { isThere } from "./is_there.ts";
import { COMPILED_V8_FLAGS, launcherText } from "./launcher.ts";
import { type Chunks, type Program, takeApart } from "./program.ts";
import { capture, mustRun, step } from "./step.ts";

/** Replaced in the bundle; see runtime/cli/version.ts. */
const COMMIT_PLACEHOLDER = '"@BELAY_COMMIT@"';

/** Where the Worker of a PinnedThread is, replaced by its code: see ffi/pinned_thread.ts. */
const WORKER_URL = 'new URL("./pinned/worker.ts",import.meta.url).href';

/** How long the download of denort may take. */
const COMPILE_TIMEOUT_MS = 120_000;

const root = new URL("..", import.meta.url).pathname;

/** What to build. */
export interface BuildOptions {
  /** The module to start with. */
  readonly entry: string;
  /** The executable to make: an absolute path. */
  readonly out: string;
  /** The absolute path of the Deno that compiles, or that the launcher runs. */
  readonly deno: string;
  /** Make a launcher even where it could be compiled. */
  readonly launcher: boolean;
}

/** Builds one executable and says which kind it is. */
export async function build({ entry, out, deno, launcher }: BuildOptions): Promise<void> {
  await Deno.mkdir(directoryOf(out), { recursive: true });
  // Made beside the result and renamed into place when it works: the old one may be running.
  const directory = await Deno.makeTempDir({ dir: directoryOf(out), prefix: ".build-" });
  const made = `${directory}/belay`;
  try {
    const program = await step(`bundling ${entry}`, async () => {
      await bundle(entry, `${made}.js`);
      return await programFrom(entry);
    });
    const why = launcher
      ? "--launcher was given"
      : await step(`compiling with ${deno}`, () => compile(program, directory, made, deno));
    if (why !== undefined) {
      const text = await launcherText({ path: deno, version: await versionOf(deno) }, program);
      await Deno.writeTextFile(made, text, { mode: 0o755 });
    }
    // What does not start is not a build. The environment is podman's: empty.
    const env = { BELAY_CACHE: "off" }; // it runs from here only this once
    await mustRun([made, "--version"], { clearEnv: true, env, cwd: "/" });
    await Deno.rename(`${made}.js`, `${out}.js`);
    await Deno.rename(made, out);
    report(out, deno, why);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

function report(out: string, deno: string, whyNotCompiled: string | undefined): void {
  const size = (path: string) => `${Math.ceil(Deno.statSync(path).size / 1000)} kB`;
  if (whyNotCompiled === undefined) {
    console.log(`built ${out}: a compiled executable, ${size(out)} (bundle ${size(`${out}.js`)})`);
    return;
  }
  console.log(`built ${out}: a launcher for ${deno}, ${size(out)}`);
  console.log(`  not compiled: ${whyNotCompiled}`);
  if (/\/(root|home|_npx)\//.test(deno)) {
    console.log(
      "  other users may not reach that Deno, and npm may prune it: --deno takes another",
    );
  }
}

/** Writes one JavaScript file that holds everything. esbuild comes from npm the first time. */
async function bundle(entry: string, output: string): Promise<void> {
  await mustRun([Deno.execPath(), "bundle", "--quiet", "--minify", "--output", output, entry], {
    cwd: root,
  });
  const { text, replaced } = withCommit(await Deno.readTextFile(output), await commit());
  // Else `belay --version` would not know what was built.
  if (replaced !== 1) throw new Error(`${COMMIT_PLACEHOLDER} is ${replaced} times in ${output}`);
  await Deno.writeTextFile(output, withWorker(text, await workerUrl()));
}

/** The program that begins with `entry`, taken apart. */
export async function programFrom(entry: string, minify = true): Promise<Program> {
  const chunks = await chunksOf(entry, minify);
  const first = entry.replace(/^.*\/(.*)\.ts$/, "./$1.js");
  const commands = commandChunks(chunks.get(first) ?? "", chunks);
  return await takeApart(chunks, first, commands, { deno: Deno.execPath(), minify });
}

/** The same in chunks that are loaded one by one. */
async function chunksOf(entry: string, minify: boolean): Promise<Chunks> {
  const directory = await Deno.makeTempDir();
  try {
    const small = minify ? ["--minify"] : []; // half of the text to read, and no comments
    const flags = ["--quiet", ...small, "--code-splitting", "--outdir", directory];
    await mustRun([Deno.execPath(), "bundle", ...flags, entry], { cwd: root });
    const [head, worker] = [await commit(), await workerUrl()];
    const chunks = new Map<string, string>();
    for await (const { name } of Deno.readDir(directory)) {
      const { text } = withCommit(await Deno.readTextFile(`${directory}/${name}`), head);
      chunks.set(`./${name}`, withWorker(text, worker));
    }
    return chunks;
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/**
 * The code of a PinnedThread's Worker as a data: URL, in quotes. It travels in the one bundle: a compiled program has
 * no other files, and what only a Worker needs costs nothing where none is started.
 */
async function workerUrl(): Promise<string> {
  const code = await mustRun(
    [Deno.execPath(), "bundle", "--quiet", "--minify", `${root}ffi/pinned/worker.ts`],
    { cwd: root },
  );
  return JSON.stringify(`data:text/javascript,${encodeURIComponent(code.trim())}`);
}

function withWorker(text: string, url: string): string {
  return text.replaceAll(WORKER_URL, () => url);
}

/** Which chunk each command imports, in the text of `COMMANDS`, which is part of the entry or of what it imports. */
function commandChunks(entry: string, chunks: Chunks): Map<string, string> {
  const names = COMMANDS.map(({ name }) => name);
  const parts = /\bname:\s*"([^"]+)",\s*summary:|\bload:\s*\(\)\s*=>\s*import\("(\.\/[^"]+)"\)/g;
  for (const text of [entry, ...chunks.values()]) {
    // Lists of commands stand in another order than `COMMANDS` has them: each has its name before its import.
    const found = new Map<string, string>();
    let last = "";
    for (const [, name, chunk] of text.matchAll(parts)) {
      if (name !== undefined) last = name;
      else if (chunk !== undefined) found.set(last, chunk);
    }
    if (names.every((name) => found.has(name))) return found;
  }
  if (entry.includes("belayExit")) {
    throw new Error("the commands' chunks are not found");
  }
  return new Map(); // another entry than belay's own, which has no commands
}

function withCommit(text: string, commit: string): { text: string; replaced: number } {
  const parts = text.split(COMMIT_PLACEHOLDER);
  return { text: parts.join(JSON.stringify(commit)), replaced: parts.length - 1 };
}

async function commit(): Promise<string> {
  const head = await capture(["git", "rev-parse", "HEAD"], { cwd: root });
  if (head.code !== 0) return "unknown, not built in a git checkout";
  const changes = await capture(["git", "status", "--porcelain"], { cwd: root });
  return head.stdout.trim() + (changes.code === 0 && changes.stdout === "" ? "" : "-dirty");
}

/** Compiles, or returns why that is not possible here. */
async function compile(
  program: Program,
  directory: string,
  out: string,
  deno: string,
): Promise<string | undefined> {
  const pieces = piecesOf(program);
  const work = `${directory}/pieces`;
  await Deno.mkdir(work);
  for (const [name, text] of pieces.texts) await Deno.writeTextFile(`${work}/${name}.js`, text);
  const make = async (text: string, file: string) => {
    await Deno.writeTextFile(`${directory}/main.js`, text);
    return await compileOne(directory, "main.js", file, deno);
  };
  const producer = `${directory}/produce`;
  const why = await make(producerText(pieces), producer);
  if (why !== undefined) return why;
  await mustRun([producer, work]);
  await mustRun([producer, "check", work]);
  await Deno.remove(producer);
  const load = packLoad(pieces, (name) => Deno.readFileSync(`${work}/${name}.code`));
  // Until it has its load it starts, and does nothing: nobody is to find it at its place.
  const unfinished = `${out}.unfinished`;
  try {
    let place = 0;
    // Once to see where the load will be, and once more with that number in it.
    for (let round = 0; round < 2; round++) {
      const failed = await make(mainText(pieces, load, place), unfinished);
      // What has compiled the producer a moment ago.
      if (failed !== undefined) throw new Error(`compiling main.js: ${failed}`);
      if (round === 0) place = placeIn(await Deno.readFile(unfinished));
    }
    await addLoad(unfinished, load.bytes, place);
    await Deno.rename(unfinished, out);
  } finally {
    if (isThere(unfinished)) await Deno.remove(unfinished);
  }
  return undefined;
}

/** Adds the load to an executable at `place`, and moves what is there behind it. */
async function addLoad(
  path: string,
  load: Uint8Array<ArrayBuffer>,
  place: number,
): Promise<void> {
  const executable = await Deno.readFile(path);
  if (placeIn(executable) !== place) {
    throw new Error(`${path} is another size now that it knows where its load is`);
  }
  using file = await Deno.open(path, { write: true });
  await file.seek(place, Deno.SeekMode.Start);
  for (const part of [load, executable.subarray(place)]) {
    for (let end = 0; end < part.length;) end += await file.write(part.subarray(end));
  }
}

async function compileOne(
  directory: string,
  entry: string,
  out: string,
  deno: string,
): Promise<string | undefined> {
  const denort = Deno.env.get("DENORT_BIN");
  const { code, stderr } = await capture([
    deno,
    "compile",
    "--quiet",
    "--allow-all",
    "--no-check",
    "--no-config",
    "--no-lock",
    // Without it, root would run what any user puts into /tmp/deno-compile-belay.cache.
    "--no-code-cache",
    `--v8-flags=${COMPILED_V8_FLAGS}`,
    "--output",
    out,
    entry,
  ], {
    cwd: directory,
    timeoutMs: COMPILE_TIMEOUT_MS,
    env: {
      DENO_NO_UPDATE_CHECK: "1",
      // Two versions of Deno in one DENO_DIR empty each other's caches.
      ...(deno === Deno.execPath() ? {} : { DENO_DIR: `${directoryOf(directory)}cache` }),
    },
  });
  if (code === 0) return undefined;
  // deno-lint-ignore no-control-regex -- Deno's colours
  const lines = stderr.replace(/\x1b\[[\d;]*m/g, "").split("\n").map((line) => line.trim());
  const reason = lines.find((line) => line.startsWith("1: ")) ??
    lines.find((line) => line.startsWith("error")) ?? `exit code ${code}`;
  // A base binary that was asked for and does not work is a mistake, not a reason to go on.
  if (denort !== undefined) throw new Error(`compiling with DENORT_BIN=${denort}: ${reason}`);
  return `no denort for it here (${reason.replace(/^1: /, "").replace(/: client error.*/, "")})`;
}

/** denort must be of the version of the Deno that compiles, so one that lies beside it is meant. */
async function chooseDeno(given: string | undefined, launcher: boolean): Promise<string> {
  const beside = launcher ? undefined : Deno.env.get("DENORT_BIN")?.replace(/[^/]*$/, "deno");
  for (const path of [given, beside]) {
    const real = path === undefined ? undefined : await Deno.realPath(path).catch(() => undefined);
    if (real !== undefined) return real;
    if (path !== undefined && path === given) throw new Error(`--deno ${path}: no such file`);
  }
  return await Deno.realPath(Deno.execPath());
}

/** `2.9.6`, of whichever Deno it is. */
async function versionOf(deno: string): Promise<string> {
  const { stdout } = await capture([deno, "--version"]);
  const version = /^deno (\S+)/.exec(stdout)?.[1];
  if (version === undefined) throw new Error(`${deno} --version printed ${JSON.stringify(stdout)}`);
  return version;
}

function directoryOf(path: string): string {
  return path.replace(/[^/]*$/, "");
}

if (import.meta.main) {
  const args = parseArgs(Deno.args, {
    string: ["entry", "out", "deno"],
    boolean: ["launcher"],
    unknown: (arg) => {
      console.error(`build: ${arg}: unknown; see the top of scripts/build.ts`);
      Deno.exit(1);
    },
  });
  const absolute = (path: string) => path.startsWith("/") ? path : `${Deno.cwd()}/${path}`;
  const launcher = args["launcher"] === true;
  try {
    await build({
      entry: absolute(String(args["entry"] ?? `${root}main.ts`)),
      out: absolute(String(args["out"] ?? `${root}dist/belay`)),
      deno: await chooseDeno(
        args["deno"] === undefined ? undefined : String(args["deno"]),
        launcher,
      ),
      launcher,
    });
  } catch (error) {
    console.error(`build: ${error instanceof Error ? error.message : error}`);
    Deno.exit(1);
  }
}
