// Many at once, one after the other, and at the wrong moment.
import { assert, assertEquals } from "@std/assert";
import { errorIn } from "./contained.ts";
import { e2e, sleep, until, type World } from "./world.ts";

const RUNS = 500;
const AT_ONCE = 4;

e2e(`${RUNS} times run /bin/true: none hangs, none fails`, async (world) => {
  const bundle = await world.bundle({ args: ["/bin/true"] });
  const started = Date.now();
  let left = RUNS;
  const worker = async () => {
    while (left-- > 0) {
      const ended = await world.belay(["run", "--bundle", bundle, world.id()]);
      assertEquals(ended, { code: 0, stdout: "", stderr: "" });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  console.log(`${RUNS} runs, ${AT_ONCE} at once: ${((Date.now() - started) / 1000).toFixed(1)} s`);
});

e2e("run tells the code of a program that ends before anyone waits for it", async (world) => {
  const bundle = await world.bundle({
    args: ["sh", "-c", "exit 9"],
    // run waits for this hook first; by then the program has long ended.
    config: (spec) => spec.hooks = { poststart: [{ path: "/bin/sleep", args: ["sleep", "0.3"] }] },
  });
  assertEquals((await world.belay(["run", "--bundle", bundle, world.id()])).code, 9);
});

e2e("20 containers at once are created, started, killed and deleted", async (world) => {
  const bundle = await world.bundle({ args: ["sleep", "1000"] });
  const ids = Array.from({ length: 20 }, () => world.id());
  const all = (args: (id: string) => readonly string[]) =>
    Promise.all(ids.map((id) => world.ok(args(id))));
  await all((id) => ["create", "--bundle", bundle, id]);
  await all((id) => ["start", id]);
  const states = await Promise.all(ids.map((id) => world.state(id)));
  assertEquals(new Set(states.map(({ pid }) => pid)).size, 20);
  assertEquals(states.filter(({ status }) => status === "running").length, 20);
  assertEquals(JSON.parse((await world.ok(["list", "-f", "json"])).stdout).length, 20);
  await all((id) => ["kill", id, "KILL"]);
  await all((id) => ["delete", "--force", id]);
});

e2e("of many creates of one id at the same time exactly one wins", async (world) => {
  const bundle = await world.bundle();
  for (let round = 0; round < 5; round++) {
    const id = world.id();
    const all = await Promise.all(
      Array.from({ length: 6 }, () => world.belay(["create", "--bundle", bundle, id])),
    );
    assertEquals(all.filter(({ code }) => code === 0).length, 1);
    for (const { code, stderr } of all) {
      if (code !== 0) assert(errorIn(stderr).includes(`already exists: ${id}`), stderr);
    }
    assertEquals((await world.state(id)).status, "created");
    await world.ok(["delete", id]);
  }
});

/** What the loser of a race between create and delete may say. */
const CLEAR = /already exists|does not exist|is being worked on by another belay|was deleted while/;

e2e(
  "create and delete of one id at the same time: each wins or says clearly why not",
  async (world) => {
    const bundle = await world.bundle();
    const outcomes: Record<string, number> = {};
    for (let round = 0; round < 30; round++) {
      const id = world.id();
      // Half of the rounds begin with a container of that id.
      if (round % 2 === 1) await world.ok(["create", "--bundle", bundle, id]);
      const create = world.spawn(["create", "--bundle", bundle, id]);
      await sleep(round * 2);
      const remove = world.spawn(["delete", "--force", id]);
      const [created, removed] = await Promise.all([create.ended, remove.ended]);
      for (const { code, stderr } of [created, removed]) {
        if (code !== 0) assert(CLEAR.test(errorIn(stderr)), stderr);
      }
      const outcome = `create ${created.code}, delete ${removed.code}`;
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
      const there = (await world.belay(["state", id])).code === 0;
      // A create that won against the delete stands, whole; one that lost has left nothing.
      if (there) assertEquals((await world.state(id)).status, "created", outcome);
      await world.ok(["delete", "--force", id]);
    }
    console.log(JSON.stringify(outcomes));
  },
);

e2e("many starts of one container at the same time: one wins", async (world) => {
  const bundle = await world.bundle({ args: ["sleep", "1000"] });
  for (let round = 0; round < 5; round++) {
    const id = world.id();
    await world.ok(["create", "--bundle", bundle, id]);
    const all = await Promise.all(Array.from({ length: 4 }, () => world.belay(["start", id])));
    assertEquals(all.filter(({ code }) => code === 0).length, 1);
    for (const { code, stderr } of all) {
      if (code !== 0) {
        assert(/already running|being worked on by another belay/.test(errorIn(stderr)), stderr);
      }
    }
    await world.ok(["delete", "--force", id]);
  }
});

e2e(
  "many deletes of one container at the same time leave nothing, and none lies",
  async (world) => {
    const bundle = await world.bundle({ args: ["sleep", "1000"] });
    for (let round = 0; round < 5; round++) {
      const id = world.id();
      await world.ok(["run", "-d", "--bundle", bundle, id]);
      const all = await Promise.all(
        Array.from({ length: 4 }, () => world.belay(["delete", "--force", id])),
      );
      assert(all.some(({ code }) => code === 0));
      for (const { code, stderr } of all) {
        if (code !== 0) assert(CLEAR.test(errorIn(stderr)), stderr);
      }
      assertEquals((await world.belay(["state", id])).code, 1);
    }
  },
);

/** Renames directories, as any user may, until it is killed. */
const STORM = `const [a, b] = [Deno.args[0] + "/a", Deno.args[0] + "/b"];
Deno.mkdirSync(a);
for (;;) { Deno.renameSync(a, b); Deno.renameSync(b, a); }`;

e2e("containers are created while somebody renames directories all the time", async (world) => {
  // The kernel gives up (EAGAIN) on a path with ".." in it when anything is renamed or mounted, anywhere, meanwhile.
  const bundle = await world.bundle({
    writable: true,
    config: (spec) => spec.mounts.push({ destination: "/link/x", type: "tmpfs", source: "tmpfs" }),
  });
  Deno.symlinkSync(`${"../".repeat(8)}tmp`, `${bundle}/rootfs/link`);
  Deno.writeTextFileSync(`${world.dir}/storm.ts`, STORM);
  Deno.mkdirSync(`${world.dir}/storm`);
  const storm = world.start([
    ...[Deno.execPath(), "run", "--no-lock", "--allow-all"],
    ...[`${world.dir}/storm.ts`, `${world.dir}/storm`],
  ]);
  await until("it blows", () => [...Deno.readDirSync(`${world.dir}/storm`)].length > 0);
  for (let round = 0; round < 20; round++) {
    await world.ok(["run", "--bundle", bundle, world.id()]);
  }
  storm.signal("SIGKILL");
  await storm.ended;
});

/** A repeatable row of numbers from 0 to 1 (mulberry32). */
function random(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Runs a command 20 times, kills it by SIGKILL at some moment, and cleans up as a client would. */
async function killedMidway(
  world: World,
  args: (id: string) => readonly string[],
  prepare?: (id: string) => Promise<void>,
): Promise<void> {
  const seed = Number(Deno.env.get("BELAY_SEED") ?? Date.now() % 100_000);
  const next = random(seed);
  const id = () => world.id();
  const probe = id();
  await prepare?.(probe);
  const before = performance.now();
  await world.belay(args(probe));
  const whole = performance.now() - before;
  await world.ok(["delete", "--force", probe]);
  let killed = 0;
  for (let round = 0; round < 20; round++) {
    const one = id();
    await prepare?.(one);
    const running = world.spawn(args(one));
    await sleep(next() * whole);
    try {
      running.signal("SIGKILL");
    } catch {
      // It was faster this time.
    }
    if ((await running.ended).code === 137) killed++;
    await world.ok(["delete", "--force", one]);
  }
  console.log(`BELAY_SEED=${seed}: killed ${killed} of 20 before their end`);
  assert(killed > 0, "none was killed: nothing was tested");
}

e2e("create killed by SIGKILL at any moment: delete --force leaves nothing", async (world) => {
  const bundle = await world.bundle();
  await killedMidway(world, (id) => ["create", "--bundle", bundle, id]);
});

e2e("start killed by SIGKILL at any moment: delete --force leaves nothing", async (world) => {
  const bundle = await world.bundle({ args: ["sleep", "1000"] });
  await killedMidway(world, (id) => ["start", id], async (id) => {
    await world.ok(["create", "--bundle", bundle, id]);
  });
});

e2e("delete killed by SIGKILL at any moment: delete --force finishes it", async (world) => {
  const bundle = await world.bundle({ args: ["sleep", "1000"] });
  await killedMidway(world, (id) => ["delete", "--force", id], async (id) => {
    await world.ok(["run", "-d", "--bundle", bundle, id]);
  });
});
