// pause and resume: states, what is refused, and that nothing runs in a paused container, however fast it forks.
import { assertEquals, assertStringIncludes } from "@std/assert";
import { noFile } from "../skip.ts";
import { cgroupDirectories } from "./census.ts";
import { type AnySpec, e2e, until, type World } from "./world.ts";

/** Makes processes as fast as it can, a bounded number at a time: where cgroup2 is alone here, nothing limits them. */
const CHURN = "for i in 1 2 3 4 5 6; do while :; do /bin/true; done & done; wait";

/** Forks up to its limit and on: an interactive shell survives that it cannot. */
const BOMB = "for i in 1 2 3 4; do yes 'sleep 0.01 &' | sh -i >/dev/null 2>&1 & done; wait";

async function running(
  world: World,
  script: string,
  config: (spec: AnySpec) => void = () => {},
): Promise<string> {
  const id = world.id();
  const args = ["sh", "-c", script];
  const bundle = await world.bundle({ args, config });
  await world.ok(["run", "--detach", "--bundle", bundle, id]);
  return id;
}

async function status(world: World, id: string): Promise<string> {
  return (await world.state(id)).status;
}

async function refusal(world: World, ...args: string[]): Promise<string> {
  const { code, stderr } = await world.belay(args);
  assertEquals(code, 1, args.join(" "));
  return stderr;
}

e2e("pause and resume change a running container's state and refuse another", async (world) => {
  const id = await running(world, "exec sleep 1000");
  assertStringIncludes(await refusal(world, "resume", id), "container not paused");
  await world.ok(["pause", id]);
  assertEquals(await status(world, id), "paused");
  assertStringIncludes(await refusal(world, "pause", id), "container not running");
  assertStringIncludes(
    await refusal(world, "delete", id),
    `cannot delete container ${id} that is not stopped: paused`,
  );
  await world.ok(["resume", id]);
  assertEquals(await status(world, id), "running");
  await world.ok(["delete", "--force", id]);
  for (const command of ["pause", "resume"]) {
    assertStringIncludes(await refusal(world, command, id), "container does not exist");
  }
});

e2e(
  "start refuses a created container that is paused, and starts it once resumed",
  async (world) => {
    const id = world.id();
    const bundle = await world.bundle({ args: ["sleep", "1000"] });
    await world.ok(["create", "--bundle", bundle, id]);
    await world.ok(["pause", id]);
    assertEquals(await status(world, id), "paused");
    const said = await refusal(world, "start", id);
    assertStringIncludes(said, "cannot start a container in the paused state");
    await world.ok(["resume", id]);
    assertEquals(await status(world, id), "created");
    await world.ok(["start", id]);
    assertEquals(await status(world, id), "running");
    await world.ok(["delete", "--force", id]);
  },
);

e2e("pause and resume refuse a container that has stopped", async (world) => {
  const id = await running(world, "exit 0");
  await until("it stops", async () => await status(world, id) === "stopped");
  assertStringIncludes(await refusal(world, "pause", id), "container not running");
  assertStringIncludes(await refusal(world, "resume", id), "container not paused");
  await world.ok(["delete", id]);
});

e2e("kill ends a paused container with KILL, and keeps TERM until it is resumed", async (world) => {
  const killed = await running(world, "exec sleep 1000");
  await world.ok(["pause", killed]);
  await world.ok(["kill", killed, "KILL"]);
  await until("it stops", async () => await status(world, killed) === "stopped");
  await world.ok(["delete", killed]);

  const told = await running(world, "trap 'exit 0' TERM; while :; do sleep 0.01; done");
  await world.ok(["pause", told]);
  await world.ok(["kill", told, "TERM"]);
  assertEquals(await status(world, told), "paused");
  await world.ok(["resume", told]);
  await until("it stops", async () => await status(world, told) === "stopped");
  await world.ok(["delete", told]);
});

e2e("delete --force ends a paused container", async (world) => {
  const id = await running(world, "sleep 1000 & sleep 1001 & wait");
  await world.ok(["pause", id]);
  await world.ok(["delete", "--force", id]);
});

/** What the processes of a cgroup have consumed: the same twice when none of them runs, and none comes or goes. */
function consumption(cgroup: string): string[] {
  const pids = Deno.readTextFileSync(`${cgroup}/cgroup.procs`).split("\n").filter((pid) => pid);
  return pids.sort().map((pid) => {
    const switches = Deno.readTextFileSync(`/proc/${pid}/status`).match(/^.*ctxt_switches.*$/gm);
    return `${pid} ${switches?.join(" ")}`;
  });
}

for (const [what, script] of [["a fork bomb", BOMB], ["a busy forker", CHURN]] as const) {
  e2e(`pause stops ${what} whole, five times over`, async (world) => {
    const id = await running(world, script, (spec) => spec.linux.resources.pids = { limit: 40 });
    const [cgroup = ""] = cgroupDirectories().filter((path) => path.includes("/freezer/"));
    for (let round = 0; round < 5; round++) {
      await world.ok(["pause", id]);
      const before = consumption(cgroup);
      assertEquals(before.length > 0, true);
      await world.ok(["state", id]); // something that takes its time
      assertEquals(consumption(cgroup), before);
      await world.ok(["resume", id]);
    }
    await world.ok(["pause", id]);
    await world.ok(["delete", "--force", id]);
  }, noFile("/sys/fs/cgroup/freezer/cgroup.procs"));
}

e2e("pause stops a busy forker whole on cgroup2", async (world) => {
  const bundle = await world.bundle({
    args: ["sh", "-c", CHURN],
    config: (spec) => delete spec.linux.resources,
  });
  const script = `
    umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup || exit 1
    set -e
    cgroup=/sys/fs/cgroup/$1
    consumed() {
      sort $cgroup/cgroup.procs | while read pid; do echo $pid; grep ctxt /proc/$pid/status; done
    }
    belay run --detach --bundle "$2" $1
    for i in 1 2 3 4 5; do
      belay pause $1
      consumed >"$3.before"
      test -s "$3.before"
      belay state $1 | grep -q '"status": "paused"'
      consumed >"$3.after"
      cmp "$3.before" "$3.after"
      belay resume $1
    done
    belay pause $1
    belay delete --force $1
    test ! -e $cgroup
    echo done
  `;
  const inside = `belay() { "$BELAY" --root "$ROOT" "$@"; }\n${script}`;
  const { belayPath } = await import("./belay.ts");
  const ended = await world.start(
    ["unshare", "--mount", "bash", "-c", inside, "bash", world.id(), bundle, `${world.dir}/seen`],
    { env: { BELAY: belayPath, ROOT: world.root } },
  ).ended;
  assertEquals(
    { code: ended.code, stdout: ended.stdout },
    { code: 0, stdout: "done\n" },
    ended.stderr,
  );
});
