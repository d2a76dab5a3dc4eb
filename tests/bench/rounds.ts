import { capture, mustRun } from "../../scripts/step.ts";
import type { Runtime } from "./contestants.ts";
import { type Measured, median, Meter } from "./meter.ts";

/** What was measured of one thing: medians. */
export interface Row {
  readonly name: string;
  readonly ms: number;
  /** The fastest and the slowest. */
  readonly range: readonly [number, number];
  readonly cpuMs: number;
  readonly peakKb: number;
}

const WARM_UP = 2;
/** How long a container's program, which is /bin/true, may take to end. */
const END_MS = 5000;
const CONTAINER = "bench";

/** A bundle that runs `args` in busybox: what `runc spec` writes (so `belay spec`), without a terminal. */
export async function makeBundle(
  belay: Runtime,
  directory: string,
  args: readonly string[],
): Promise<string> {
  await Deno.mkdir(`${directory}/rootfs/bin`, { recursive: true });
  for (const name of ["busybox", "true", "sleep"]) {
    await Deno.copyFile("/bin/busybox", `${directory}/rootfs/bin/${name}`);
  }
  for (const name of ["proc", "sys", "dev"]) await Deno.mkdir(`${directory}/rootfs/${name}`);
  await mustRun([...belay.words, "spec"], { cwd: directory });
  const config = JSON.parse(await Deno.readTextFile(`${directory}/config.json`));
  config.process.terminal = false;
  config.process.args = args;
  // The newest version that runc 1.1 and crun 1.8 know.
  config.ociVersion = "1.0.2";
  await Deno.writeTextFile(`${directory}/config.json`, JSON.stringify(config));
  return directory;
}

/** Measures each thing once a round, in turns; a thing is one program or several, one after the other. */
export async function inTurns(
  things: readonly { readonly name: string; readonly measure: () => Measured }[],
  rounds: number,
): Promise<Row[]> {
  const all = things.map((): Measured[] => []);
  for (let round = -WARM_UP; round < rounds; round++) {
    await new Promise((resolve) => setTimeout(resolve, 0)); // for signals, and for who tells the time
    things.forEach(({ name, measure }, i) => {
      const measured = measure();
      if (measured.status !== 0) throw new Error(`${name}: exit status ${measured.status}`);
      if (round >= 0) all[i]?.push(measured);
    });
  }
  return things.map(({ name }, i) => {
    const times = all[i]?.map(({ ms }) => ms) ?? [];
    const range = [Math.min(...times), Math.max(...times)] as const;
    const middle = (of: (measured: Measured) => number) => median(all[i]?.map(of) ?? []);
    return {
      ...{ name, ms: median(times), range },
      ...{ cpuMs: middle(({ cpuMs }) => cpuMs), peakKb: middle(({ peakKb }) => peakKb) },
    };
  });
}

/** `run` of /bin/true, beside empty programs where `empties` is set. */
export function benchRun(
  meter: Meter,
  runtimes: readonly Runtime[],
  cwd: string,
  { rounds, empties }: { readonly rounds: number; readonly empties: boolean },
): Promise<Row[]> {
  const things = runtimes.flatMap(({ name, words, empty }) => [
    { name, measure: () => meter.run({ words: [...words, "run", CONTAINER], cwd }) },
    ...(empty === undefined || !empties ? [] : [{
      name: emptyName(name),
      measure: () => meter.run({ words: empty, cwd }),
    }]),
  ]);
  return inTurns(things, rounds);
}

/** The name of the row of the empty program that belongs to a runtime. */
export function emptyName(runtime: string): string {
  return `empty program, as ${runtime}`;
}

/** create + start + state + delete; the wait until /bin/true has ended is not counted. */
export function benchLife(
  meter: Meter,
  runtimes: readonly Runtime[],
  cwd: string,
  rounds: number,
): Promise<Row[]> {
  const things = runtimes.map(({ name, words }) => ({
    name,
    measure: () => {
      const pidFile = `${cwd}/pid`;
      const parts = [
        meter.run({ words: [...words, "create", "--pid-file", pidFile, CONTAINER], cwd }),
        meter.run({ words: [...words, "start", CONTAINER], cwd }),
      ];
      waitForEnd(Number(Deno.readTextFileSync(pidFile)));
      parts.push(meter.run({ words: [...words, "state", CONTAINER], cwd }));
      parts.push(meter.run({ words: [...words, "delete", CONTAINER], cwd }));
      return {
        ms: parts.reduce((sum, { ms }) => sum + ms, 0),
        cpuMs: parts.reduce((sum, { cpuMs }) => sum + cpuMs, 0),
        peakKb: Math.max(...parts.map((part) => part.peakKb)),
        status: parts.find(({ status }) => status !== 0)?.status ?? 0,
      };
    },
  }));
  return inTurns(things, rounds);
}

/** The resident memory of a created container's first process, in kB. */
export function residentInit(meter: Meter, { words }: Runtime, cwd: string): number {
  const pidFile = `${cwd}/pid`;
  meter.run({ words: [...words, "create", "--pid-file", pidFile, CONTAINER], cwd });
  try {
    const pid = Deno.readTextFileSync(pidFile);
    const smaps = Deno.readTextFileSync(`/proc/${pid}/smaps_rollup`);
    return Number(/^Rss:\s+(\d+)/m.exec(smaps)?.[1]);
  } finally {
    meter.run({ words: [...words, "delete", "--force", CONTAINER], cwd });
  }
}

/** Ends what an interrupted measurement left. */
export async function cleanUp(runtimes: readonly Runtime[]): Promise<void> {
  for (const { words } of runtimes) await capture([...words, "delete", "--force", CONTAINER]);
}

/** Gone, or a zombie that whoever adopted it has not reaped yet. */
function waitForEnd(pid: number): void {
  const deadline = performance.now() + END_MS;
  while (performance.now() < deadline) {
    try {
      const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
      if (stat.slice(stat.lastIndexOf(")") + 2).startsWith("Z")) return;
    } catch {
      return;
    }
  }
  throw new Error(`process ${pid} does not end`);
}
