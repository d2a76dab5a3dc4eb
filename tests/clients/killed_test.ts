// `docker run` whose client, shim or runtime is killed by SIGKILL at random moments: what a user does then (`docker rm
// --force`, `delete --force` for what docker does not know of) leaves nothing. `--clients=all` counts beside it what
// the same rounds with runc leave.
import { assertEquals } from "@std/assert";
import { Thread } from "../../ffi/thread.ts";
import { Pidfd } from "../../ffi/pidfd.ts";
import { commandLine, MARK, sleep } from "../e2e/census.ts";
import { generator } from "../random.ts";
import { clientTest } from "./client.ts";
import { ALL, BELAY, type Contestant, RUNC } from "./checks.ts";
import { type DockerCli, Dockerd, dockerObstacles } from "./dockerd.ts";
import { callOf } from "./dying_runtime.ts";
import { cleanUp, ROOT, SHIM } from "./forgotten_tasks.ts";
import { Stage } from "./stage.ts";

const ROUNDS = Number(Deno.env.get("BELAY_CLIENTS_KILLINGS") ?? (ALL ? 300 : 15));
const VICTIMS = ["client", "shim", "runtime"] as const;
/** What a shim has the runtime do for a `docker run --rm`. */
const CALLS = ["create", "start", "delete", "delete --force"] as const;
/** A `docker run` takes about so long: the moments are spread over it. */
const LENGTH_MS = 800;
/** How often somebody is aimed at in a round, if nobody is hit. */
const DRAWS = 10;
/** What a runtime under a shim lives. */
const RUNTIME_MS = 40;
/** A killed shim's client may wait for ever for an answer: then it ends, too. */
const CLIENT_MS = 15_000;

/** After which killings docker forgets a task, whatever the runtime: dying_test.ts shows it. */
const FORGOTTEN_AFTER = ["runtime start", "runtime delete"];

const seed = Number(
  Deno.env.get("BELAY_CLIENTS_SEED") ?? crypto.getRandomValues(new Uint32Array(1))[0],
);

/** What came of the rounds, by what was killed. */
interface Tally {
  /** How many. */
  readonly killed: Record<string, number>;
  /** Tasks that docker forgot. */
  readonly forgotten: Record<string, number>;
  /** Rounds after which something was left, also by kind. */
  readonly unclean: Record<string, number>;
}

clientTest(dockerObstacles(), `docker run killed at ${ROUNDS} random moments`, async () => {
  console.log(`BELAY_CLIENTS_SEED=${seed}`);
  const tally = await killMany(BELAY, (error, round) => {
    throw new Error(`after round ${round}, BELAY_CLIENTS_SEED=${seed}`, { cause: error });
  });
  console.log(`belay: ${JSON.stringify(tally)}`);
  for (const victim of VICTIMS) {
    assertEquals(Object.keys(tally.killed).some((each) => each.startsWith(victim)), true, victim);
  }
  const others = Object.keys(tally.forgotten).filter((each) => !FORGOTTEN_AFTER.includes(each));
  assertEquals(others, [], "docker forgot a task that it would not have forgotten with runc");
  // Beside it, and to be read, not to be passed: what runc leaves is waited for in vain for 20 s each time.
  if (ALL) console.log(`runc: ${JSON.stringify(await killMany(RUNC, () => {}))}`);
});

/** @param onUnclean Gets the difference between the censuses before and after a round. */
async function killMany(
  runtime: Contestant,
  onUnclean: (error: unknown, round: number) => void,
): Promise<Tally> {
  const random = generator(seed);
  await using stage = await Stage.open();
  await using daemon = await Dockerd.start(stage);
  const cli = daemon.cli(runtime);
  await cli.output([], ["true"]);
  let before = stage.census();
  const tally: Tally = { killed: {}, forgotten: {}, unclean: {} };
  for (let round = 0; round < ROUNDS; round++) {
    let what;
    // Shim and runtime are there for moments: most draws miss them.
    for (let draw = 0; what === undefined && draw < DRAWS; draw++) {
      what = await killOne(cli, VICTIMS[round % VICTIMS.length] ?? "client", random);
    }
    what ??= "nobody";
    add(tally.killed, what);
    try {
      const forgotten = await cleanUp(cli, runtime, before);
      if (forgotten.length > 0) add(tally.forgotten, what, forgotten.length);
    } catch (error) {
      onUnclean(error, round);
      const now = stage.census();
      const kinds = Object.keys(now).filter((kind) => `${now[kind]}` !== `${before[kind]}`);
      add(tally.unclean, `${what}: ${kinds.join(", ")}`);
      before = now;
    }
    if ((round + 1) % 50 === 0) {
      console.log(`${runtime.name}, ${round + 1} rounds: ${JSON.stringify(tally)}`);
    }
  }
  return tally;
}

function add(counts: Record<string, number>, what: string, count = 1): void {
  counts[what] = (counts[what] ?? 0) + count;
}

/** Starts a container, kills one of the three, and cleans up as a user does. @returns what was killed; nothing when it ended before */
async function killOne(
  cli: DockerCli,
  victim: typeof VICTIMS[number],
  random: (limit: number) => number,
): Promise<string | undefined> {
  const name = `${MARK}-killed-${crypto.randomUUID()}`;
  const client = cli.stage.start(
    cli.argv(
      ...["run", "--rm", "--name", name, ...cli.flags([]), "bb:local", "sleep", "0.1"],
    ),
    { timeoutMs: CLIENT_MS },
  );
  let ended = false;
  client.status.then(() => ended = true);
  const wanted = CALLS[random(CALLS.length)];
  await sleep(random(LENGTH_MS));
  // Shim and runtime are there for a part of the time only: the next of them that is caught alive.
  let hit: string | undefined;
  while (!ended && hit === undefined) {
    const isIt = (pid: number) =>
      isVictim(pid, victim, name) &&
      (victim !== "runtime" || callOf(commandLine(pid)) === wanted);
    const found = cli.stage.processes().findLast(({ pid }) => isIt(pid));
    if (found === undefined) {
      await sleep(0); // for the client's end
      continue;
    }
    if (victim === "runtime") await sleep(random(RUNTIME_MS));
    if (kill(found.pid, isIt)) hit = victim === "runtime" ? `runtime ${wanted}` : victim;
  }
  await client.status;
  await cli.try(["rm", "--force", name]);
  return hit;
}

function isVictim(pid: number, victim: string, name: string): boolean {
  const line = commandLine(pid);
  switch (victim) {
    case "client":
      return line.startsWith("/usr/bin/docker ") && line.includes(name);
    case "shim":
      return line.includes(SHIM);
    default:
      // A launcher is Deno by then, whose words are not belay's; the flags are.
      return line.includes(`--root ${ROOT} `);
  }
}

const thread = new Thread();

/** Kills a process, if it is still the one that was found. @returns whether it was */
function kill(pid: number, isIt: (pid: number) => boolean): boolean {
  let pidfd: Pidfd;
  try {
    pidfd = Pidfd.open(thread, pid);
  } catch {
    return false; // it has ended
  }
  using held = pidfd;
  return isIt(pid) && held.signal(9);
}
