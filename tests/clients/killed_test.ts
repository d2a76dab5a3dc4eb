// `docker run` whose client, shim or runtime is killed by SIGKILL at random moments: what a user does then (`docker rm
// --force`, and `belay delete --force` for what docker does not know of) leaves nothing.
import { assertEquals } from "@std/assert";
import { Thread } from "../../ffi/thread.ts";
import { Pidfd } from "../../ffi/pidfd.ts";
import { belayPath } from "../e2e/belay.ts";
import { commandLine, MARK, type Process, sleep, until } from "../e2e/census.ts";
import { generator } from "../random.ts";
import { clientTest } from "./client.ts";
import { ALL, BELAY } from "./checks.ts";
import { type DockerCli, Dockerd, dockerObstacles } from "./dockerd.ts";
import { Stage } from "./stage.ts";

const ROUNDS = ALL ? 300 : 15;
const VICTIMS = ["client", "shim", "runtime"] as const;
/** A `docker run` takes about so long: the moments are spread over it. */
const LENGTH_MS = 800;
/** What a runtime under a shim lives. */
const RUNTIME_MS = 40;
/** Where docker has every runtime keep its containers, whatever the runtime's name. */
const ROOT = "/run/docker/runtime-runc/moby";
/** A killed shim's client may wait for ever for an answer: then it ends, too. */
const CLIENT_MS = 15_000;

const seed = Number(
  Deno.env.get("BELAY_CLIENTS_SEED") ?? crypto.getRandomValues(new Uint32Array(1))[0],
);

clientTest(dockerObstacles(), `docker run killed at ${ROUNDS} random moments`, async () => {
  console.log(`BELAY_CLIENTS_SEED=${seed}`);
  const random = generator(seed);
  await using stage = await Stage.open();
  await using daemon = await Dockerd.start(stage);
  const cli = daemon.cli(BELAY);
  await cli.output([], ["true"]);
  const before = stage.census();
  const killed: Record<string, number> = {};
  for (let round = 0; round < ROUNDS; round++) {
    const victim = VICTIMS[round % VICTIMS.length] ?? "client";
    const hit = await killOne(cli, victim, random);
    killed[hit ? victim : "ended before"] = (killed[hit ? victim : "ended before"] ?? 0) + 1;
    if (ALL || round % 5 === 4 || round === ROUNDS - 1) await assertClean(stage, before, round);
  }
  console.log(`killed: ${JSON.stringify(killed)}`);
  assertEquals(
    Object.keys(killed).filter((each) => each !== "ended before").length,
    VICTIMS.length,
  );
});

/** Starts a container, kills one of the three, and cleans up as a user does. @returns whether it was there to be killed */
async function killOne(
  cli: DockerCli,
  victim: typeof VICTIMS[number],
  random: (limit: number) => number,
): Promise<boolean> {
  const name = `${MARK}-killed-${crypto.randomUUID()}`;
  const client = cli.stage.start(
    cli.argv(
      ...["run", "--rm", "--name", name, ...cli.flags([]), "bb:local", "sleep", "0.1"],
    ),
    { timeoutMs: CLIENT_MS },
  );
  let ended = false;
  client.status.then(() => ended = true);
  await sleep(random(LENGTH_MS));
  // Shim and runtime are there for a part of the time only: the next of them that is caught alive.
  let hit = false;
  while (!ended && !hit) {
    const found = cli.stage.processes().findLast((each) => isVictim(each, victim, name));
    if (victim === "runtime" && found !== undefined) await sleep(random(RUNTIME_MS));
    hit = found !== undefined && kill(found, victim, name);
    await sleep(0); // for the client's end
  }
  await client.status;
  await cli.try(["rm", "--force", name]);
  return hit;
}

function isVictim({ pid, name: program }: Process, victim: string, name: string): boolean {
  const line = commandLine(pid);
  switch (victim) {
    case "client":
      return program === "docker" && line.includes(name);
    case "shim":
      return line.includes("containerd-shim-runc-v2") && line.includes("-namespace moby");
    default:
      // A launcher is Deno by then, whose words are not belay's; the flags are.
      return line.includes(`--root ${ROOT} `);
  }
}

const thread = new Thread();

/** Kills a process, if it is still the one that was found. */
function kill(process: Process, victim: string, name: string): boolean {
  let pidfd: Pidfd;
  try {
    pidfd = Pidfd.open(thread, process.pid);
  } catch {
    return false; // it has ended
  }
  using held = pidfd;
  return isVictim(process, victim, name) && held.signal(9);
}

/**
 * Ends the shims that containerd has lost, which have no process of a container below them: now and then one stays when
 * the runtime that it waits for is killed. No container, cgroup or state is behind it, and no runtime knows of shims.
 */
function endLostShims(stage: Stage): void {
  const all = stage.processes();
  for (const shim of all) {
    const alone = all.every(({ parent }) => parent !== shim.pid);
    const line = commandLine(shim.pid);
    if (alone && kill(shim, "shim", "")) console.log(`containerd has lost a shim: ${line}`);
  }
}

/** What docker does not know of any more is deleted by hand; then everything is as it was. */
async function assertClean(
  stage: Stage,
  before: ReturnType<Stage["census"]>,
  round: number,
): Promise<void> {
  const left = () => [...Deno.readDirSync(stage.path(ROOT))].map(({ name }) => name);
  // What docker still works on is not left behind.
  const done = () => stage.census()["processes"]?.length === before["processes"]?.length;
  await until("docker is done", done).catch(() => {}); // the census below says what there is
  endLostShims(stage);
  for (const id of left()) {
    await stage.ok([belayPath, "--root", ROOT, "delete", "--force", id]);
  }
  try {
    await stage.assertUnchanged(before);
  } catch (error) {
    throw new Error(`after round ${round}, BELAY_CLIENTS_SEED=${seed}`, { cause: error });
  }
}
