/**
 * `deno task demo`: builds belay and shows it at work, from inside and from outside of containers.
 * What it prints is what real commands said. Exit code 1 when anything was not as it should be.
 */
import { makeRootfs } from "./demo/bundle.ts";
import {
  adoptOrphans,
  type Census,
  KINDS,
  leftBy,
  settledCensus,
  takeCensus,
} from "./demo/census.ts";
import { showCrash } from "./demo/crash.ts";
import { showFromInside, showFromOutside } from "./demo/isolation.ts";
import { showFailedStart, showLife } from "./demo/life.ts";
import { showLimits } from "./demo/limits.ts";
import { showNetns, warmHost } from "./demo/netns.ts";
import { type Cell, Screen } from "./demo/screen.ts";
import { Stage } from "./demo/stage.ts";
import { showTimes } from "./demo/times.ts";
import { needs } from "./needs.ts";
import { mustRun } from "./step.ts";

const root = new URL("..", import.meta.url).pathname;
const belay = `${root}dist/belay`;
/** Where containers live when nobody says otherwise; looked at, never touched. */
const DEFAULT_STATE_ROOT = "/run/belay";

async function demo(screen: Screen): Promise<boolean> {
  const start = performance.now();
  screen.line(screen.paint("belay", "bold", "cyan") + ", a container runtime in TypeScript.");
  screen.line(
    "What it starts, it can always name, reach and end; what it ends leaves nothing behind.",
  );
  screen.chapter("Build");
  await build(screen);
  const missing = await needs({ "busybox-static": "all that the containers have to run" });
  if (missing.length > 0) throw new Error(`the demo needs ${missing.join(", ")}`);
  adoptOrphans();
  const host = warmHost();
  const scratch = await Deno.makeTempDir({ prefix: "belay-demo-" });
  const stage = new Stage(screen, belay, scratch);
  const interrupted = () => {
    leave(stage).finally(() => Deno.exit(130));
  };
  Deno.addSignalListener("SIGINT", interrupted);
  Deno.addSignalListener("SIGTERM", interrupted);
  try {
    screen.output(await mustRun([belay, "--version"]));
    const stateRoots = [stage.stateRoot, DEFAULT_STATE_ROOT];
    const before = takeCensus(stateRoots);
    const rootfs = await makeRootfs(stage);
    screen.say(
      "A bundle is a directory with a config.json. Here each begins with what `belay spec` writes, " +
        "and its root file system is busybox and nothing else. `belay` below stands for " +
        `dist/belay --root ${stage.stateRoot}.`,
    );
    await showFromInside(stage, rootfs);
    await showFromOutside(stage, rootfs);
    await showLimits(stage, rootfs);
    await showLife(stage, rootfs);
    await showFailedStart(stage, rootfs);
    await showCrash(stage, rootfs);
    await showNetns(stage, host);
    await showTimes(stage, rootfs);
    showCensus(stage, before, await settledCensus(before, stateRoots));
  } finally {
    await leave(stage);
    Deno.removeSignalListener("SIGINT", interrupted);
    Deno.removeSignalListener("SIGTERM", interrupted);
  }
  const { kept, broken } = stage.score;
  screen.line();
  screen.verdict(
    broken === 0,
    `${kept} of ${kept + broken} promises kept, in ${
      ((performance.now() - start) / 1000).toFixed(0)
    } s.`,
  );
  return broken === 0;
}

/** Runs the build as anybody would, and shows its words as they come. */
async function build(screen: Screen): Promise<void> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", `${root}scripts/build.ts`],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const errors = new Response(child.stderr).text();
  let line = "";
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    const lines = (line + text).split("\n");
    line = lines.pop() ?? "";
    for (const each of lines) screen.output(each);
  }
  if (!(await child.status).success) throw new Error(`the build failed\n${await errors}`);
}

/** Ends what is left (after an error or Ctrl-C; else there is nothing), and removes every file. */
async function leave(stage: Stage): Promise<void> {
  const ids = (await stage.quietly(stage.scratch, "list", "--quiet")).stdout.split("\n");
  for (const id of ids.filter(Boolean)) {
    await stage.quietly(stage.scratch, "delete", "--force", id);
  }
  await Deno.remove(stage.scratch, { recursive: true });
}

function showCensus(stage: Stage, before: Census, after: Census): void {
  const { screen } = stage;
  screen.chapter("The census");
  screen.say("Everything of this machine that a container could have left behind, then and now.");
  screen.table([
    [["", "dim"], ["before", "bold"], ["after", "bold"], ["left by us", "bold"]],
    ...KINDS.map((kind): Cell[] => {
      const left = leftBy(before, after, kind);
      return [
        kind,
        String(before[kind].size),
        String(after[kind].size),
        left.length === 0 ? ["nothing", "green"] : [left.join(", "), "red"],
      ];
    }),
  ]);
  if (KINDS.some((kind) => before[kind].size !== after[kind].size)) {
    screen.say(
      "(The counts are of the whole machine: others start and end things, too. The last column is " +
        "what is new and belongs to nobody else.)",
    );
  }
  stage.expect(
    KINDS.every((kind) => leftBy(before, after, kind).length === 0),
    "Nothing is left.",
  );
}

if (Deno.uid() !== 0) {
  console.error("demo: only root can make these containers; run it again as root");
  Deno.exit(1);
}
const screen = new Screen();
try {
  Deno.exit(await demo(screen) ? 0 : 1);
} catch (error) {
  screen.verdict(false, `the demo ended early: ${error instanceof Error ? error.message : error}`);
  Deno.exit(1);
}
