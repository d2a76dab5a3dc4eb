/**
 * `deno task repro`: shows the bugs that belay was made for, the naive way and belay's way beside it.
 *
 * Usage: deno run -A scripts/repro.ts [--json=FILE] [--junit=FILE] [JOB...]
 *
 *   JOB               s0, s1, ...: the modules in tests/repro/jobs; all of them by default
 *   --json=FILE       the counts, for programs
 *   --junit=FILE      the verdicts, for CI
 *   BELAY_BIN         the executable to test, instead of building dist/belay
 *   BELAY_REPRO_SEED  repeats what a run with that seed did
 *
 * Each job runs in mount, network and pid namespaces of its own, is killed with all it started when it takes too long,
 * and fails unless the naive way shows the bug and belay's way never does.
 */
import { parseArgs } from "@std/cli/parse-args";
import type { Job, Result } from "../tests/repro/job.ts";
import { reportJunit, reportTable } from "../tests/repro/report.ts";
import { needs } from "./needs.ts";
import { mustRun, step } from "./step.ts";

const root = new URL("..", import.meta.url).pathname;
const JOBS = `${root}tests/repro/jobs`;
const TIMEOUT_MS = 300_000;

/** The modules by the names of their jobs, in order. */
async function jobs(wanted: readonly string[]): Promise<{ path: string; job: Job }[]> {
  const names = [...Deno.readDirSync(JOBS)].map(({ name }) => name).filter((name) =>
    name.endsWith(".ts")
  );
  const all = await Promise.all(names.map(async (name) => {
    const path = `${JOBS}/${name}`;
    return { path, job: (await import(`file://${path}`)).job as Job };
  }));
  all.sort((a, b) => a.job.name < b.job.name ? -1 : 1);
  const unknown = wanted.filter((name) => !all.some(({ job }) => job.name === name));
  if (unknown.length > 0) {
    throw new Error(`no job ${unknown}; there are ${all.map(({ job }) => job.name).join(", ")}`);
  }
  return wanted.length === 0 ? all : all.filter(({ job }) => wanted.includes(job.name));
}

/** Runs a job in namespaces of its own. */
async function run(path: string, job: Job, belay: string, seed: number): Promise<Result> {
  const nothing = { name: job.name, bug: job.bug, seconds: 0, findings: [], failures: [] };
  const missing = await needs({ iproute2: "ip and tc, who count", ...job.needs });
  if (missing.length > 0) return { ...nothing, skipped: `not installed: ${missing.join(", ")}` };
  const scratch = await Deno.makeTempDir({ prefix: `belay-repro-${job.name}-` });
  const out = `${scratch}.json`;
  const timeoutMs = job.timeoutMs ?? TIMEOUT_MS;
  // Killed with unshare(1), the first process of a pid namespace takes all others along.
  const pid = job.pidNamespace === false ? [] : ["--pid", "--mount-proc"];
  const child = new Deno.Command("unshare", {
    args: [
      ...["--mount", "--propagation", "private", "--net", ...pid, "--fork", "--kill-child", "--"],
      ...[Deno.execPath(), "run", "--allow-all", "--no-check", `${root}tests/repro/inside.ts`],
      ...[`file://${path}`, out, scratch, belay, String(seed)],
    ],
    cwd: root,
    stdin: "null",
  }).spawn();
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, timeoutMs);
  try {
    const { code, signal } = await child.status;
    if (late) return { ...nothing, failures: [`took more than ${timeoutMs / 1000} s`] };
    if (code !== 0) return { ...nothing, failures: [`ended with ${signal ?? code}`] };
    return JSON.parse(await Deno.readTextFile(out));
  } finally {
    clearTimeout(timer);
    await Deno.remove(scratch, { recursive: true });
    await Deno.remove(out).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error; // it never came so far
    });
  }
}

const args = parseArgs(Deno.args, { string: ["json", "junit", "_"] });
const results: Result[] = [];
if (Deno.uid() !== 0) {
  console.log("SKIP the reproducers: they need root");
  console.log("0 passed, 0 failed, 1 skipped");
  Deno.exit(0);
}
const chosen = await jobs(args._.map(String));
const belay = Deno.env.get("BELAY_BIN") ?? `${root}dist/belay`;
if (!Deno.env.has("BELAY_BIN")) {
  await step(
    "building belay",
    () =>
      mustRun([Deno.execPath(), "run", "--allow-all", `${root}scripts/build.ts`], { cwd: root }),
  );
}
const seed = Number(
  Deno.env.get("BELAY_REPRO_SEED") ?? crypto.getRandomValues(new Uint32Array(1))[0],
);
console.log(`· seed ${seed}`);
for (const { path, job } of chosen) {
  results.push(await step(`${job.name}: ${job.bug}`, () => run(path, job, belay, seed)));
}
console.log(`\n${reportTable(results)}\n`);
if (args["json"] !== undefined) {
  await Deno.writeTextFile(String(args["json"]), JSON.stringify({ seed, results }, null, 2) + "\n");
}
if (args["junit"] !== undefined) {
  await Deno.writeTextFile(String(args["junit"]), reportJunit(results));
}
const failed = results.filter(({ failures }) => failures.length > 0).length;
const skipped = results.filter(({ skipped }) => skipped !== undefined).length;
console.log(
  `${results.length - failed - skipped} passed, ${failed} failed, ${skipped} skipped`,
);
Deno.exit(failed === 0 ? 0 : 1);
