// The fault sweep: every system call of every command fails, and belay is killed at every system call; afterwards
// `delete --force` works where something is visible, and nothing is left. See docs/HACKING.md, "The fault sweep".
import { assertEquals } from "@std/assert";
import { noFile, noProgram, notRoot, type Obstacle, testUnless } from "../skip.ts";
import type { Report, Sum, Walk } from "./driver.ts";
import { linesOf } from "./lines_of.ts";
import { RECORD } from "./record.ts";
import { SystemdBus } from "./systemd_bus.ts";
import { type Scenario, SCENARIOS, stepsOf } from "./scenarios.ts";

const all = Deno.env.get("BELAY_SWEEP") === "all";
const seed = Number(
  Deno.env.get("BELAY_SWEEP_SEED") ?? crypto.getRandomValues(new Uint16Array(1))[0],
);
/** Of the calls, one of so many is walked where not all are. */
const STRIDE = { errors: 2, kills: 8 } as const;
/** Walks at a time: one for each processor of the smallest machine. */
const LANES = 2;
/** How long one point may take. */
const SILENCE_MS = 60_000;

/** A setting in which mounts that leak are seen, because every mount is shared, as on most machines. */
const WORLD = "mount --make-rshared /";

const SYSTEMD_OBSTACLES: readonly Obstacle[] = [
  noProgram("dbus-daemon", "dbus"),
  noFile("/sys/fs/cgroup/systemd/cgroup.procs"),
];

const MODES: readonly Walk["mode"][] = ["kills", "errors"];

const totals = { errors: 0, calls: 0, kills: 0, failures: 0 };

for (const scenario of SCENARIOS) {
  testUnless(
    [notRoot(), noFile("/bin/busybox"), ...scenario.systemd ? SYSTEMD_OBSTACLES : []],
    `fault sweep, ${scenario.name}: ${all ? "every error and kill" : `a part, seed ${seed}`}`,
    async () => {
      const home = await Deno.makeTempDir({ prefix: "belay-sweep-" });
      await Deno.chmod(home, 0o755);
      try {
        const program = await bundle(home);
        await using bus = scenario.systemd ? await SystemdBus.start(home) : undefined;
        const walks = stepsOf(scenario).flatMap((step) =>
          MODES.map((mode) => ({
            ...{ scenario: scenario.name, step, mode, home, seed, all, stride: STRIDE[mode] },
          }))
        ).filter(({ step }) =>
          all || (scenario.steps?.includes(step) ?? (step !== "run" || scenario === SCENARIOS[0]))
        );
        const failures: string[] = [];
        const lane = async () => {
          for (let walk = walks.shift(); walk !== undefined; walk = walks.shift()) {
            failures.push(...await swept(program, scenario, walk, bus?.env));
          }
        };
        await Promise.all(Array.from({ length: LANES }, lane));
        totals.failures += failures.length;
        assertEquals(failures, []);
      } finally {
        await Deno.remove(home, { recursive: true });
      }
    },
  );
}

testUnless([notRoot(), noFile("/bin/busybox")], "fault sweep: what was swept", () => {
  const { errors, calls, kills } = totals;
  console.log(
    `swept ${errors + kills} points: ${errors} errors over ${calls} calls, ${kills} kills; ` +
      (all
        ? "all of them"
        : `seed ${seed} (BELAY_SWEEP_SEED), an error at one call in ${STRIDE.errors}, a kill at one in ${STRIDE.kills}`),
  );
});

/** One file, so that a process starts as fast as belay does. */
async function bundle(home: string): Promise<string> {
  const program = `${home}/faults.js`;
  const entry = new URL("entry.ts", import.meta.url).pathname;
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["bundle", "--quiet", "--output", program, entry],
    cwd: new URL("../..", import.meta.url).pathname,
    stdin: "null",
  }).output();
  if (code !== 0) throw new Error(`deno bundle: ${new TextDecoder().decode(stderr)}`);
  return program;
}

function command(program: string, { world }: Scenario, walk: Walk): string[] {
  const inside = `${WORLD}${world === undefined ? "" : ` && ${world}`} && exec "$@"`;
  const deno = [Deno.execPath(), "run", "--allow-all", "--no-lock", "--no-check", "--quiet"];
  return ["unshare", "--mount", "sh", "-c", inside, "sh", ...deno, program, JSON.stringify(walk)];
}

/** Does a walk in a process of its own; what is wrong, with how to see it again. */
async function swept(
  program: string,
  scenario: Scenario,
  walk: Walk,
  env: Record<string, string> = {},
): Promise<string[]> {
  const failures: string[] = [];
  const name = `${walk.scenario}, ${walk.step}`;
  const [unshare = "", ...args] = command(program, scenario, walk);
  const child = new Deno.Command(unshare, {
    args,
    env,
    ...{ stdin: "null", stdout: "piped", stderr: "null" } as const,
  }).spawn();
  let at: { k: number; deed: string } | undefined;
  let sum: Sum | undefined;
  const output = linesOf(child, SILENCE_MS);
  let next = await output.next();
  for (; !next.done; next = await output.next()) {
    const [, record] = next.value.split(RECORD);
    if (record === undefined) continue; // what a command or a program prints
    const said: Report & { at?: typeof at } & Partial<Sum> = JSON.parse(record);
    if (said.at !== undefined) at = said.at;
    else if (said.calls !== undefined) sum = said as Sum;
    else failures.push(...judged(said, name, scenario, walk));
  }
  const { signal, code } = next.value;
  if (sum === undefined) {
    failures.push(`${name}: the walk ended at ${JSON.stringify(at)} (${signal ?? code})`);
  } else if (walk.mode === "errors") totals.calls += sum.calls;
  return failures;
}

function judged(report: Report, name: string, scenario: Scenario, walk: Walk): string[] {
  const { k, deed, hit, problems = [] } = report;
  if (hit !== undefined) totals[walk.mode]++;
  if (problems.length === 0) return [];
  const again = command("tests/faults/entry.ts", scenario, {
    ...walk,
    home: "/tmp",
    only: { k, deed },
  });
  return [
    `${name}, ${deed} at call ${k} ${hit?.shown ?? ""}: ${problems.join("; ")}\n  again: ${
      again.map(quoted).join(" ")
    }`,
  ];
}

function quoted(word: string): string {
  return /^[\w./:=-]+$/.test(word) ? word : `'${word}'`;
}
