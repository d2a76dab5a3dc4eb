// The races that hit runc's users, by the numbers of runc's issues, and what belay does there. docs/races.md tells of
// each, and names those whose tests are elsewhere.
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { isThere } from "../../scripts/is_there.ts";
import { Host } from "../../ffi/host.ts";
import { Pidfd } from "../../ffi/pidfd.ts";
import { children, reap } from "../faults/housekeeping.ts";
import { noFile } from "../skip.ts";
import { cgroupDirectories, commandLine, descendants } from "./census.ts";
import { errorIn } from "./contained.ts";
import { e2e, inHostPids, sleep, until, type World } from "./world.ts";

const { thread } = new Host("/tmp");

/** The processes of this test's containers, dead ones not counted. */
function contained(): number[] {
  return [
    ...new Set(
      cgroupDirectories().flatMap((path) => {
        const text = Deno.readTextFileSync(`${path}/cgroup.procs`);
        return text.split("\n").filter((pid) => pid !== "").map(Number);
      }),
    ),
  ];
}

e2e(
  "#4534 #4645 #4757: create killed in its middle leaves no process, and delete finishes it",
  async (world) => {
    const bundle = await world.bundle({
      config(spec) {
        const args = ["sh", "-c", `touch ${world.dir}/hooked; exec sleep 1000`];
        spec.hooks = { createRuntime: [{ path: "/bin/busybox", args }] };
      },
    });
    const id = world.id();
    const create = world.spawn(["create", "--bundle", bundle, id]);
    await until("the hook runs", () => isThere(`${world.dir}/hooked`));
    assertEquals((await world.state(id)).status, "creating");
    assert(contained().length > 0);
    create.signal("SIGKILL");
    await create.ended;
    // Nobody has to be asked to clean up for this.
    await until("they end", () => contained().length === 0);
    assertEquals((await world.state(id)).status, "stopped");
    await world.ok(["delete", "--force", id]);
  },
);

e2e(
  "#2828: start of a container whose waiting process was killed fails, and does not wait",
  async (world) => {
    const id = world.id();
    await world.ok(["create", "--bundle", await world.bundle(), id]);
    await world.ok(["kill", id, "KILL"]);
    const { code, stderr } = await world.belay(["start", id]);
    assertEquals(code, 1);
    assertStringIncludes(errorIn(stderr), "cannot start a container that has stopped");
    await world.ok(["delete", id]);
  },
);

e2e("#5208: start succeeds however short the program lives, 8 times", async (world) => {
  const bundle = await world.bundle();
  for (let round = 0; round < 8; round++) {
    const id = world.id();
    await world.ok(["create", "--bundle", bundle, id]);
    await world.ok(["start", id]);
    await until("it ends", async () => (await world.state(id)).status === "stopped");
    await world.ok(["delete", id]);
  }
});

e2e("#2861: a zombie is stopped", async (world) => {
  const id = world.id();
  await world.ok(["create", "--bundle", await world.bundle({ args: ["sleep", "1000"] }), id]);
  await world.ok(["start", id]);
  const { pid } = await world.state(id);
  await world.ok(["kill", id, "KILL"]);
  // It is this process's child by now, and not reaped.
  const state = () => /^State:\t(\w)/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`))?.[1];
  await until("it is a zombie", () => state() === "Z");
  assertEquals((await world.state(id)).status, "stopped");
  const { code, stderr } = await world.belay(["exec", id, "true"]);
  assertEquals(code, 255);
  assertStringIncludes(stderr, "cannot exec in a stopped container");
  await world.ok(["delete", id]);
});

for (const ending of ["kill --all", "delete --force", "delete"]) {
  e2e(
    `#4047 #4040: ${ending} ends what exec added in the host's pid namespace after the first process died`,
    async (world) => {
      const id = world.id();
      const bundle = await world.bundle({ args: ["sleep", "1000"], config: inHostPids });
      await world.ok(["run", "--detach", "--bundle", bundle, id]);
      const file = `${world.dir}/pid`;
      await world.ok(["exec", "--detach", "--pid-file", file, id, "sleep", "1001"]);
      using added = Pidfd.open(thread, Number(Deno.readTextFileSync(file)));
      await world.ok(["kill", id, "KILL"]);
      await until("it stops", async () => (await world.state(id)).status === "stopped");
      assertEquals(added.alive(), true);
      if (ending === "kill --all") {
        await world.ok(["kill", "--all", id, "KILL"]);
        await until("it ends", () => !added.alive());
        await world.ok(["delete", id]);
      } else await world.ok([...ending.split(" "), id]);
      assertEquals(added.reap().signal, 9);
    },
  );
}

e2e("#3391 #3828: delete removes the cgroups of many dying processes", async (world) => {
  const id = world.id();
  const script = "for i in $(seq 60); do sleep 1000 & done; touch /ready; wait";
  const bundle = await world.bundle({ args: ["sh", "-c", script], writable: true });
  await world.ok(["run", "--detach", "--bundle", bundle, id]);
  await until("all run", () => isThere(`${bundle}/rootfs/ready`));
  await world.ok(["delete", "--force", id]);
  assertEquals(cgroupDirectories(), []);
});

/** What an exec that comes too late may say. */
const TOO_LATE = /container does not exist|stopped container|being created or deleted/;

for (const namespaces of ["its own", "the host's"]) {
  e2e(
    `exec beside delete --force, in ${namespaces} pid namespace: each ends, and nothing is left`,
    async (world) => {
      const bundle = await world.bundle({
        args: ["sleep", "1000"],
        ...(namespaces === "its own" ? {} : { config: inHostPids }),
      });
      for (let round = 0; round < 6; round++) {
        const id = world.id();
        await world.ok(["run", "--detach", "--bundle", bundle, id]);
        const execs = [0, 1].map(() => world.spawn(["exec", id, "sleep", "1001"]));
        await sleep(round * 20);
        await world.ok(["delete", "--force", id]);
        for (const exec of execs) {
          const { code, stderr } = await exec.ended;
          assert(code === 137 || (code === 255 && TOO_LATE.test(stderr)), `${code} ${stderr}`);
        }
        assertEquals(
          descendants().filter(({ name, state }) => name === "sleep" && state !== "Z"),
          [],
        );
      }
    },
  );
}

e2e(
  "#4481 #2753: exec beside pause and resume runs or is refused, and none is lost",
  async (world) => {
    const id = await sleeper(world);
    for (let round = 0; round < 6; round++) {
      const execs = [0, 1, 2].map(() => world.spawn(["exec", id, "true"]));
      await sleep(round * 12);
      await world.ok(["pause", id]);
      assertEquals((await world.state(id)).status, "paused");
      await world.ok(["resume", id]);
      for (const exec of execs) {
        const { code, stderr } = await exec.ended;
        assert(code === 0 || (code === 255 && stderr.includes("paused container")), stderr);
      }
    }
    await world.ok(["delete", "--force", id]);
  },
  noFile("/sys/fs/cgroup/freezer/cgroup.procs"),
);

e2e(
  "delete --force beside an exec that is stopped ends what is in the container's cgroups",
  async (world) => {
    const id = await sleeper(world);
    const exec = world.spawn(["exec", id, "sleep", "1001"]);
    const added = () => descendants().find(({ pid }) => commandLine(pid) === "sleep 1001");
    await until("its program runs", added);
    // Now nobody reaps the program, and so the first process of its pid namespace does not come to its end.
    exec.signal("SIGSTOP");
    // In the cgroups, but outside the pid namespace, as exec's own stub is for a moment.
    const outside = world.start(["sleep", "1002"]);
    for (const path of cgroupDirectories()) {
      Deno.writeTextFileSync(`${path}/cgroup.procs`, `${outside.pid}`);
    }
    await world.ok(["delete", "--force", id]);
    assertEquals((await outside.ended).code, 137);
    exec.signal("SIGCONT");
    assertEquals((await exec.ended).code, 137);
  },
);

e2e(
  "exec in a container whose first process is exiting says that it has stopped",
  async (world) => {
    const id = await sleeper(world);
    const { pid } = await world.state(id);
    const exec = world.spawn(["exec", id, "sleep", "1001"]);
    const added = () => descendants().find(({ pid }) => commandLine(pid) === "sleep 1001");
    await until("its program runs", added);
    // Nobody reaps the program: until then the first process of its pid namespace cannot end.
    exec.signal("SIGSTOP");
    await world.ok(["kill", id, "KILL"]);
    await until("it has left its cgroups", () => !contained().includes(pid));
    for (const options of [[], ["--detach"]]) {
      const { code, stderr } = await world.belay(["exec", ...options, id, "true"]);
      assertStringIncludes(errorIn(stderr), "cannot exec in a stopped container");
      assertEquals(code, 255);
    }
    exec.signal("SIGCONT");
    assertEquals((await exec.ended).code, 137);
    await world.ok(["delete", "--force", id]);
  },
);

e2e(
  "delete of a stopped container does not touch who has come into its cgroups after it",
  async (world) => {
    const [stopped, other] = [world.id("stopped"), world.id("other")];
    const bundle = async (...args: string[]) =>
      await world.bundle({ args, config: ({ linux }) => linux.cgroupsPath = `/${stopped}` });
    await world.ok(["run", "--detach", "--bundle", await bundle("true"), stopped]);
    await until("it stops", async () => (await world.state(stopped)).status === "stopped");
    await world.ok(["run", "--detach", "--bundle", await bundle("sleep", "1000"), other]);
    const { code, stderr } = await world.belay(["delete", "--force", stopped]);
    assertEquals(code, 1);
    assertStringIncludes(stderr, "it still has process");
    assertEquals((await world.state(other)).status, "running");
    await world.ok(["delete", "--force", other]);
    await world.ok(["delete", stopped]);
  },
);

async function sleeper(world: World): Promise<string> {
  const id = world.id();
  const bundle = await world.bundle({ args: ["sleep", "1000"] });
  await world.ok(["run", "--detach", "--bundle", bundle, id]);
  return id;
}

e2e("exec killed by SIGKILL at any moment leaves no half of it in the container", async (world) => {
  const id = await sleeper(world);
  for (let round = 0; round < 12; round++) {
    const exec = world.spawn(["exec", id, "true"]);
    await sleep(round * 10);
    try {
      exec.signal("SIGKILL");
    } catch {
      // It was faster this time.
    }
    await exec.ended;
    await until(
      "only the first process is left",
      async () => JSON.parse((await world.ok(["ps", "-f", "json", id])).stdout).length === 1,
    );
  }
  await world.ok(["delete", "--force", id]);
  // Programs whose belay was killed are this process's to reap; the first process waits for that.
  for (const pid of children()) reap(pid);
});
