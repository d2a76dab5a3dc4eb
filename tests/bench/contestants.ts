import { emptyDeno } from "../../scripts/demo/empty_deno.ts";
import { capture, mustRun, step } from "../../scripts/step.ts";

const root = new URL("../..", import.meta.url).pathname;
const OFFLINE_DENO = `${root}../shared/tools/offline-deno`;

/** Always at one path: for root, a launcher keeps compiled code in a cache, by path. */
const LAUNCHER = `${root}dist/belay-bench`;

/** A runtime under test. */
export interface Runtime {
  readonly name: string;
  /** The executable, and the flags before the command. */
  readonly words: readonly string[];
  /** The command of an empty program, of the same kind as the executable (belay's only). */
  readonly empty?: readonly string[];
}

/** Builds belay as a launcher, and compiled where a denort can be had. */
export async function belays(scratch: string): Promise<Runtime[]> {
  const launcher = LAUNCHER;
  await build(["--launcher", "--out", launcher]);
  const empty = await emptyDeno(launcher, scratch);
  const made: Runtime[] = [{
    name: "belay (launcher)",
    words: [launcher, "--root", `${scratch}/state-launcher`],
    ...(empty === undefined ? {} : { empty }),
  }];
  const pair = await denortPair();
  if (pair === undefined) {
    console.log("SKIP the compiled executable: neither DENORT_BIN nor offline-deno is here");
    return made;
  }
  const compiled = `${scratch}/belay-compiled`;
  await build(["--deno", pair.deno, "--out", compiled], pair.denort);
  const nothing = `${scratch}/empty-compiled`;
  await mustRun([
    ...[pair.deno, "compile", "--quiet", "--allow-all", "--no-check", "--no-config", "--no-lock"],
    ...["--no-code-cache", "--output", nothing, `${scratch}/empty.js`],
  ], { env: { DENORT_BIN: pair.denort, DENO_DIR: `${scratch}/cache` } });
  made.push({
    name: "belay (compiled)",
    words: [compiled, "--root", `${scratch}/state-compiled`],
    empty: [nothing],
  });
  return made;
}

/** Removes what `belays` built outside of the scratch directory. */
export async function removeLauncher(): Promise<void> {
  for (const path of [LAUNCHER, `${LAUNCHER}.js`]) {
    await Deno.remove(path).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error; // it was not built yet
    });
  }
}

/** The peers that are installed here, and that can run in cgroups as they are. */
export async function peers(scratch: string, names: readonly string[]): Promise<Runtime[]> {
  const found: Runtime[] = [];
  for (const name of names) {
    const path = (await capture(["sh", "-c", `command -v ${name}`])).stdout.trim();
    if (path === "") console.log(`SKIP ${name}: not installed`);
    else {
      const version = (await mustRun([path, "--version"])).split("\n")[0]?.split(" ").at(-1);
      found.push({ name: `${name} ${version}`, words: [path, "--root", `${scratch}/${name}`] });
    }
  }
  return found;
}

async function build(args: readonly string[], denort?: string): Promise<void> {
  await step(`building belay ${args.join(" ")}`, () =>
    mustRun(
      [Deno.execPath(), "run", "--allow-all", `${root}scripts/build.ts`, ...args],
      denort === undefined ? {} : { env: { DENORT_BIN: denort } },
    ));
}

/** A Deno and the denort of the same version. */
async function denortPair(): Promise<{ deno: string; denort: string } | undefined> {
  const denort = Deno.env.get("DENORT_BIN");
  if (denort !== undefined) return { deno: denort.replace(/[^/]*$/, "deno"), denort };
  const { code, stdout } = await capture([OFFLINE_DENO]);
  if (code !== 0) return undefined;
  const read = (name: string) => new RegExp(`^${name}=(.*)$`, "m").exec(stdout)?.[1];
  const [deno, found] = [read("DENO"), read("DENORT_BIN")];
  return deno === undefined || found === undefined ? undefined : { deno, denort: found };
}
