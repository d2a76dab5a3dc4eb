/**
 * `deno task bench`: belay beside runc and crun, as ratios of medians of one run, in turns.
 *
 * Usage: deno run -A scripts/bench.ts [--rounds N] [--only=PART[,PART]] [--json]
 *
 *   --only=PART containers, netns, netns-list, ...: those in tests/bench/sections; all of them by default
 *   --rounds N  how often each thing is measured (default: 30, least: 20)
 *   --json      the numbers for programs, on standard output
 */
import { parseArgs } from "@std/cli/parse-args";
import { belays, peers, removeLauncher, type Runtime } from "../tests/bench/contestants.ts";
import { Meter } from "../tests/bench/meter.ts";
import {
  benchLife,
  benchRun,
  cleanUp,
  emptyName,
  makeBundle,
  residentInit,
} from "../tests/bench/rounds.ts";
import type { Row } from "../tests/bench/rounds.ts";
import type { Measurement, Section, Verdict } from "../tests/bench/section.ts";
import { needs } from "./needs.ts";
import { step } from "./step.ts";

const LEAST_ROUNDS = 20;
/** On a hybrid host crun 1.8 takes this for its cgroup2, finds no controllers there, and refuses. */
const UNIFIED = "/sys/fs/cgroup/unified";

const CONTAINERS = "containers";
const SECTIONS = new URL("../tests/bench/sections/", import.meta.url);

async function benchContainers(
  scratch: string,
  rounds: number,
  ours: readonly Runtime[],
  runtimes: Runtime[],
) {
  const [launcher] = ours;
  if (launcher === undefined) throw new Error("nothing was built");
  const rivals = await peers(scratch, ["runc", "crun"]);
  const [runc, crun] = ["runc", "crun"].map((name) => rivals.find((r) => r.name.startsWith(name)));
  runtimes.push(...rivals);
  const withRunc = [...ours, ...(runc === undefined ? [] : [runc])];
  const hybrid = await isDirectory(UNIFIED);

  const quick = await makeBundle(launcher, `${scratch}/true`, ["/bin/true"]);
  const slow = await makeBundle(launcher, `${scratch}/sleep`, ["/bin/sleep", "1000"]);
  using meter = new Meter();
  const run = await step(
    `run of /bin/true, ${rounds} rounds`,
    () => benchRun(meter, withRunc, quick, { rounds, empties: true }),
  );
  const life = await step(
    `create + start + state + delete, ${rounds} rounds`,
    () => benchLife(meter, withRunc, quick, rounds),
  );
  using apart = new Meter(hybrid ? UNIFIED : undefined);
  const besideCrun = crun === undefined ? [] : await step(
    `run of /bin/true beside crun${hybrid ? `, without ${UNIFIED}` : ""}, ${rounds} rounds`,
    () => benchRun(apart, [...withRunc, crun], quick, { rounds, empties: false }),
  );
  const resident = [...withRunc, ...(crun === undefined ? [] : [crun])].map((runtime) => ({
    name: runtime.name,
    kb: residentInit(apart, runtime, slow),
  }));
  return { run, life, besideCrun, resident, verdicts: judge(ours, runc, { run, life, resident }) };
}

function judge(
  ours: readonly Runtime[],
  runc: Runtime | undefined,
  { run, life, resident }: {
    readonly run: readonly Row[];
    readonly life: readonly Row[];
    readonly resident: readonly { readonly name: string; readonly kb: number }[];
  },
): Verdict[] {
  const find = (rows: readonly Row[], name: string | undefined) =>
    rows.find((row) => row.name === name);
  return ours.flatMap(({ name }) => {
    const mine = find(run, name);
    const beside = (rows: readonly Row[]) =>
      (find(rows, name)?.ms ?? NaN) / (find(rows, runc?.name)?.ms ?? NaN);
    const beyond = (mine?.ms ?? NaN) - (find(run, emptyName(name))?.ms ?? NaN);
    const stub = resident.find((each) => each.name === name)?.kb ?? NaN;
    const peak = (mine?.peakKb ?? NaN) / 1024;
    return [
      {
        what: `${name}: run beside runc`,
        measured: `${beside(run).toFixed(2)} ×`,
        bound: "< 1 ×, aim 0.8",
        met: beside(run) < 1,
      },
      {
        what: `${name}: create + start + state + delete beside runc`,
        measured: `${beside(life).toFixed(2)} ×`,
        bound: "as low as it gets",
        met: undefined,
      },
      {
        what: `${name}: run, beyond an empty program`,
        measured: `${beyond.toFixed(1)} ms`,
        bound: "≤ 8 ms, aim 5",
        met: beyond <= 8,
      },
      {
        what: `${name}: a created container, resident`,
        measured: `${stub} kB`,
        bound: "≤ 64 kB",
        met: stub <= 64,
      },
      {
        what: `${name}: peak memory of run`,
        measured: `${peak.toFixed(0)} MB`,
        bound: "aim ≤ 36 MB",
        met: undefined,
      },
    ];
  });
}

function printContainers(
  { run, life, besideCrun, resident }: Awaited<ReturnType<typeof benchContainers>>,
) {
  timesTable("run of /bin/true, default spec", run, "runc");
  timesTable("create + start + state + delete", life, "runc");
  if (besideCrun.length > 0) timesTable("run of /bin/true beside crun", besideCrun, "crun");
  console.log("\na created container's first process, resident");
  table(resident.map(({ name, kb }) => [name, `${kb} kB`]));
}

function printMeasurement({ title, table: rows }: Measurement): void {
  console.log(`\n${title}`);
  table(rows);
}

function printVerdicts(verdicts: readonly Verdict[]): void {
  console.log("\nthe bounds");
  table([
    ["what", "measured", "bound", ""],
    ...verdicts.map(({ what, measured, bound, met }) => [
      ...[what, measured, bound, met === undefined ? "" : met ? "met" : "NOT MET"],
    ]),
  ]);
}

/** The modules in tests/bench/sections, of which `only` names some. @throws Error for a name that is none. */
async function sections(only: readonly string[] | undefined): Promise<Section[]> {
  const files = [...Deno.readDirSync(SECTIONS)].map(({ name }) => name)
    .filter((name) => name.endsWith(".ts")).sort();
  const all = await Promise.all(
    files.map(async (name) => (await import(new URL(name, SECTIONS).href)).section as Section),
  );
  const names = [CONTAINERS, ...all.map(({ name }) => name)];
  const unknown = only?.find((name) => !names.includes(name));
  if (unknown !== undefined) throw new Error(`--only ${unknown}: there are ${names.join(", ")}`);
  return only === undefined ? all : all.filter(({ name }) => only.includes(name));
}

/** All that is asked for: the containers, which are this module's own, and the sections. */
async function bench(
  only: readonly string[] | undefined,
  scratch: string,
  rounds: number,
  runtimes: Runtime[],
) {
  const chosen = await sections(only);
  for (const { needs: packages } of chosen) if (packages !== undefined) await needs(packages);
  const ours = await belays(scratch);
  runtimes.push(...ours);
  const containers = only === undefined || only.includes(CONTAINERS)
    ? await benchContainers(scratch, rounds, ours, runtimes)
    : undefined;
  const measurements: Measurement[] = [];
  for (const { what, run } of chosen) {
    measurements.push(...await step(what, () => run({ ours, scratch, rounds })));
  }
  const verdicts = [containers?.verdicts ?? [], measurements.flatMap((each) => each.verdicts)];
  return { ...containers, measurements, verdicts: verdicts.flat() };
}

function timesTable(title: string, rows: readonly Row[], rival: string): void {
  const yardstick = rows.find(({ name }) => name.startsWith(rival))?.ms ?? NaN;
  console.log(`\n${title}`);
  table([
    ["", "median ms", "least", "most", `beside ${rival}`, "cpu ms", "peak MB"],
    ...rows.map(({ name, ms, range: [least, most], cpuMs, peakKb }) => [
      ...[name, ms.toFixed(1), least.toFixed(1), most.toFixed(1), (ms / yardstick).toFixed(2)],
      ...[cpuMs.toFixed(1), (peakKb / 1024).toFixed(0)],
    ]),
  ]);
}

function table(rows: readonly (readonly string[])[]): void {
  const widths = rows[0]?.map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0))) ?? [];
  for (const row of rows) {
    const cells = row.map((cell, i) =>
      /^[\d.]+$/.test(cell) ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)
    );
    console.log(`  ${cells.join("  ")}`.trimEnd());
  }
}

async function isDirectory(path: string): Promise<boolean> {
  return await Deno.stat(path).then((stat) => stat.isDirectory, () => false);
}

const args = parseArgs(Deno.args, { string: ["rounds", "only"], boolean: ["json"] });
const rounds = Number(args["rounds"] ?? 30);
if (Deno.uid() !== 0) {
  console.error("bench: only root can make these containers; run it again as root");
  Deno.exit(1);
}
if (!(rounds >= LEAST_ROUNDS)) {
  console.error(`bench: --rounds: at least ${LEAST_ROUNDS}, else the median says nothing`);
  Deno.exit(1);
}
await needs({
  "busybox-static": "what the containers run",
  "runc": "the runtime to compare with",
  "crun": "the fastest one",
});
const scratch = await Deno.makeTempDir({ prefix: "belay-bench-" });
const write = console.log;
// Standard output is for the numbers alone.
if (args["json"] === true) console.log = console.error;
const runtimes: Runtime[] = [];
const leave = async () => {
  await cleanUp(runtimes);
  await removeLauncher();
  await Deno.remove(scratch, { recursive: true });
};
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.addSignalListener(signal, () => leave().finally(() => Deno.exit(130)));
}
try {
  const only = args["only"] === undefined ? undefined : String(args["only"]).split(",");
  const results = await bench(only, scratch, rounds, runtimes);
  if (args["json"] === true) write(JSON.stringify({ rounds, ...results }, null, 2));
  else {
    const { run, life, besideCrun, resident, measurements, verdicts } = results;
    if (run && life && besideCrun && resident) {
      printContainers({ run, life, besideCrun, resident, verdicts });
    }
    measurements.forEach(printMeasurement);
    printVerdicts(verdicts);
  }
} finally {
  await leave();
}
Deno.exit(0);
