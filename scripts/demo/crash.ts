import { makeBundle } from "./bundle.ts";
import { type Census, type Kind, KINDS, leftBy, settledCensus, takeCensus } from "./census.ts";
import { livingChildren } from "./life.ts";
import type { Stage } from "./stage.ts";
import { isThere } from "../is_there.ts";

/** How often belay is killed without looking. */
const ROUNDS = 20;
/** belay is stopped at a moment that we do not control; so often we try to hit the middle. */
const ATTEMPTS = 20;

/** What the kernel ends with the stubs. */
const CRASH_PROOF: readonly Kind[] = ["processes", "namespaces", "mounts"];
const SHOWN: readonly Kind[] = [...CRASH_PROOF, "cgroup directories", "state directories"];

/** Kills belay with SIGKILL in the middle of `create`: once with a look at what is there, then often. */
export async function showCrash(stage: Stage, rootfs: string): Promise<void> {
  const { screen } = stage;
  screen.chapter("belay is killed in the middle of create");
  const bundle = await makeBundle(stage, "crash", rootfs, (config) => {
    config.process.args = ["sleep", "1000"];
    config.linux.resources["pids"] = { limit: 32 };
  });
  const before = takeCensus([stage.stateRoot]);
  const child = await stoppedInTheMiddle(stage, bundle);
  if (child === undefined) {
    stage.expect(false, `belay was too fast: not caught in the middle of ${ATTEMPTS} creates.`);
    return;
  }
  screen.command("belay create crash &   # and SIGSTOP in the middle, to have a look");
  screen.table([
    [["pid", "dim"], ["executes", "dim"], ["resident", "dim"]],
    ...livingChildren().map(({ pid, executes, resident }) => [String(pid), executes, resident]),
  ]);
  const middle = takeCensus([stage.stateRoot]);
  screen.command(`kill -KILL ${child.pid}   # belay itself`);
  child.kill("SIGKILL");
  await child.status;
  const killed = await settledCensus(before, [stage.stateRoot], CRASH_PROOF);
  const deleted = await stage.show(bundle, "delete", "--force", "crash");
  const end = await settledCensus(before, [stage.stateRoot]);
  const left = (census: Census, kinds: readonly Kind[] = KINDS) =>
    kinds.reduce((sum, kind) => sum + leftBy(before, census, kind).length, 0);
  screen.table([
    [["what was there", "bold"], ["in the middle", "bold"], ["killed", "bold"], [
      "deleted",
      "bold",
    ]],
    ...SHOWN.map((kind) => [
      kind,
      ...[middle, killed, end].map((census) => String(left(census, [kind]))),
    ]),
  ]);
  stage.expect(
    left(middle, CRASH_PROOF) > 0 && left(killed, CRASH_PROOF) === 0,
    "belay died, so its sockets closed; the stubs saw that and ended, and with them their " +
      "namespaces and mounts. What the kernel does not end was in belay's journal before it was made.",
  );
  stage.expect(deleted.code === 0 && left(end) === 0, "delete --force finished it.");
  await killOften(stage, bundle, before);
}

/** Again and again, at moments spread over the whole of a create. */
async function killOften(stage: Stage, bundle: string, before: Census): Promise<void> {
  const { screen } = stage;
  screen.line();
  const whole = (await stage.quietly(bundle, "create", "crash")).ms;
  await stage.quietly(bundle, "delete", "--force", "crash");
  const found: Record<string, number> = {};
  let failed = 0;
  await stage.step(
    `${ROUNDS} more, killed at moments spread over a create's ${whole.toFixed(0)} ms`,
    async (progress) => {
      for (let round = 0; round < ROUNDS; round++) {
        progress(round / ROUNDS);
        const child = startCreate(stage, bundle);
        await new Promise((resolve) => setTimeout(resolve, whole * (0.3 + 0.7 * round / ROUNDS)));
        try {
          child.kill("SIGKILL");
        } catch {
          // It was done before we came: that counts, too.
        }
        await child.status;
        const state = await stage.quietly(bundle, "state", "crash");
        const status = state.code === 0 ? JSON.parse(state.stdout).status : "nothing made yet";
        found[status] = (found[status] ?? 0) + 1;
        if ((await stage.quietly(bundle, "delete", "--force", "crash")).code !== 0) failed++;
      }
    },
  );
  const tally = Object.entries(found).map(([status, count]) => `${count} × ${status}`).join(", ");
  screen.say(`What \`belay state\` found each time: ${tally}.`);
  const end = await settledCensus(before, [stage.stateRoot]);
  const left = KINDS.flatMap((kind) => leftBy(before, end, kind));
  stage.expect(
    failed === 0 && left.length === 0,
    left.length === 0
      ? "Each was finished by one delete --force, and nothing is left."
      : `left: ${left.join(", ")}`,
  );
}

function startCreate(stage: Stage, bundle: string): Deno.ChildProcess {
  const [program = "", ...args] = stage.words("create", "crash");
  return new Deno.Command(program, {
    args,
    cwd: bundle,
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
}

/**
 * A `create` that was stopped after it had made cgroups and a process, and before it was done.
 * The moment is found by looking: the journal is written before the first cgroup is made.
 */
async function stoppedInTheMiddle(
  stage: Stage,
  bundle: string,
): Promise<Deno.ChildProcess | undefined> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const child = startCreate(stage, bundle);
    const deadline = performance.now() + 5000;
    while (!isThere(`${stage.stateRoot}/crash/state.json`) && performance.now() < deadline);
    child.kill("SIGSTOP");
    if (!isThere(`${stage.stateRoot}/crash/control.sock`)) return child;
    child.kill("SIGKILL"); // it was nearly done: once more
    await child.status;
    await stage.quietly(bundle, "delete", "--force", "crash");
  }
  return undefined;
}
