// belay kill: who is signalled, and by which names.
import { assertEquals, assertStringIncludes } from "@std/assert";
import { commandLine, descendants } from "./census.ts";
import { errorIn } from "./contained.ts";
import { e2e, inHostPids, until, type World } from "./world.ts";

/** Prints the name of each signal that it gets, and is ready when it has printed "ready". */
const REPORTER = [
  'for s in HUP INT QUIT USR1 USR2 TERM WINCH CONT; do trap "echo $s" $s; done',
  "echo ready",
  "while :; do sleep 0.05; done",
].join("\n");

async function reporter(world: World): Promise<{ id: string; output: () => string }> {
  const id = world.id();
  const bundle = await world.bundle({ args: ["sh", "-c", REPORTER] });
  const running = world.spawn(["run", "--detach", "--bundle", bundle, id]);
  assertEquals((await running.ended).code, 0);
  await until("the program is ready", () => running.stdout().includes("ready"));
  return { id, output: running.stdout };
}

async function stopped(world: World, id: string): Promise<void> {
  await until("the container stops", async () => (await world.state(id)).status === "stopped");
}

e2e(
  "kill sends the signal that is asked for, by number, name, or name in lower case",
  async (world) => {
    const { id, output } = await reporter(world);
    const wanted = ["1", "HUP", "hup", "SIGHUP", "sighup", "SigHup", "USR1", "10", "28", "winch"];
    let seen = "ready\n";
    for (const name of wanted) {
      assertEquals(await world.ok(["kill", id, name]), { code: 0, stdout: "", stderr: "" });
      const said = /hup|^1$/i.test(name) ? "HUP" : /usr1|10/i.test(name) ? "USR1" : "WINCH";
      seen += `${said}\n`;
      await until(`${name} is reported`, () => output() === seen);
    }
    await world.ok(["delete", "--force", id]);
  },
);

e2e("kill sends SIGTERM when no signal is named", async (world) => {
  const { id, output } = await reporter(world);
  await world.ok(["kill", id]);
  await until("TERM is reported", () => output() === "ready\nTERM\n");
  await world.ok(["delete", "--force", id]);
});

e2e("kill refuses what is no signal, and sends nothing", async (world) => {
  const { id, output } = await reporter(world);
  for (const name of ["NONE", "SIG", "", "00", "65", "-1", "1.5", "9x", "SIGSIGKILL"]) {
    const { code, stderr } = await world.belay(["kill", id, name]);
    assertEquals(code, 1, name);
    assertStringIncludes(errorIn(stderr), "signal", name);
  }
  assertEquals([(await world.state(id)).status, output()], ["running", "ready\n"]);
  await world.ok(["delete", "--force", id]);
});

e2e("kill 0 sends nothing: it tells whether anybody is there", async (world) => {
  const { id, output } = await reporter(world);
  assertEquals(await world.ok(["kill", id, "0"]), { code: 0, stdout: "", stderr: "" });
  assertEquals([(await world.state(id)).status, output()], ["running", "ready\n"]);
  await world.ok(["kill", id, "KILL"]);
  await stopped(world, id);
  const { code, stderr } = await world.belay(["kill", id, "0"]);
  assertEquals(code, 1);
  assertStringIncludes(errorIn(stderr), "container not running");
  await world.ok(["delete", id]);
});

for (const all of [[], ["--all"]]) {
  e2e(
    `kill ${all} ends a created container by what ends runc's, and by no other`,
    async (world) => {
      const bundle = await world.bundle({ args: ["sh", "-c", "echo started"] });
      const id = world.id();
      // The signals that runc's first process survives before `start`.
      const created = world.spawn(["create", "--bundle", bundle, id]);
      assertEquals((await created.ended).code, 0);
      for (
        const name of ["0", "USR1", "USR2", "ALRM", "PIPE", "CHLD", "CONT", "WINCH", "PWR", "64"]
      ) {
        await world.ok(["kill", ...all, id, name]);
        assertEquals((await world.state(id)).status, "created", name);
      }
      await world.ok(["start", id]);
      await stopped(world, id);
      assertEquals(created.stdout(), "started\n");
      await world.ok(["delete", id]);

      const names = "HUP INT QUIT ILL TRAP ABRT BUS FPE SEGV TERM STKFLT SYS KILL".split(" ");
      for (const name of names) {
        const each = world.id();
        await world.ok(["create", "--bundle", bundle, each]);
        await world.ok(["kill", ...all, each, name]);
        await until(
          `SIG${name} ends it`,
          async () => (await world.state(each)).status === "stopped",
        );
        await world.ok(["delete", each]);
      }
    },
  );
}

e2e("kill of a container that is being started signals its program", async (world) => {
  const id = world.id();
  const program = "trap 'echo TERM; exit 7' TERM; echo ready; while :; do sleep 0.05; done";
  const bundle = await world.bundle({
    args: ["sh", "-c", program],
    writable: true,
    config(spec) {
      const until = (what: string) => ["sh", "-c", `until ${what}; do sleep 0.02; done`];
      spec.hooks = {
        startContainer: [{ path: "/bin/sh", args: until("test -e /go") }],
        poststart: [{ path: "/bin/sh", args: until(`grep -q ready ${world.dir}/output`) }],
      };
    },
  });
  await world.script(`belay create --bundle ${bundle} "$1" >${world.dir}/output`, [id]).ended;
  const starting = world.spawn(["start", id]);
  await until(
    "the hook runs",
    () => descendants().some(({ pid }) => /test -e/.test(commandLine(pid))),
  );
  const killing = world.spawn(["kill", id]);
  // locks(5): "->" marks who waits for a lock.
  await until("kill waits", () => {
    const waiting = Deno.readTextFileSync("/proc/locks").matchAll(
      /-> FLOCK +ADVISORY +WRITE (\d+)/g,
    );
    return [...waiting].some(([, pid]) => Number(pid) === killing.pid);
  });
  Deno.writeTextFileSync(`${bundle}/rootfs/go`, "");
  assertEquals((await starting.ended).code, 0);
  assertEquals((await killing.ended).code, 0);
  await stopped(world, id);
  assertEquals(Deno.readTextFileSync(`${world.dir}/output`), "ready\nTERM\n");
  await world.ok(["delete", id]);
});

e2e(
  "kill of a stopped container is an error, in runc's words; with --all it is none",
  async (world) => {
    const id = world.id();
    await world.ok(["run", "--detach", "--bundle", await world.bundle(), id]);
    await stopped(world, id);
    for (const signal of ["TERM", "KILL"]) {
      const { code, stderr } = await world.belay(["kill", id, signal]);
      assertEquals(code, 1);
      assertStringIncludes(errorIn(stderr), "container not running");
    }
    assertEquals((await world.belay(["kill", "--all", id, "KILL"])).code, 0);
    await world.ok(["delete", id]);
  },
);

e2e("kill of an unknown container is an error", async (world) => {
  for (const args of [["kill"], ["kill", "--all"]]) {
    const { code, stderr } = await world.belay([...args, world.id(), "KILL"]);
    assertEquals(code, 1);
    assertStringIncludes(errorIn(stderr), "container does not exist");
  }
});

e2e("kill --all reaches every process of a container, not the first alone", async (world) => {
  const id = world.id();
  const script = `(trap 'echo child' USR1; echo one; while :; do sleep 0.05; done) &
    trap 'echo init' USR1; echo two; while :; do sleep 0.05; done`;
  const bundle = await world.bundle({ args: ["sh", "-c", script] });
  const run = world.spawn(["run", "--detach", "--bundle", bundle, id]);
  await run.ended;
  await until("both are ready", () => /one/.test(run.stdout()) && /two/.test(run.stdout()));
  // The sleeps are reached as well, and end by SIGUSR1; the shells say so on stderr.
  await world.ok(["kill", "--all", id, "USR1"]);
  await until("both report", () => /init/.test(run.stdout()) && /child/.test(run.stdout()));
  await world.ok(["delete", "--force", id]);
});

/** A container in the host's pid namespace, whose children survive its first process. */
async function sharedPids(world: World): Promise<string> {
  const id = world.id();
  const bundle = await world.bundle({
    args: ["sh", "-c", "sleep 2001 & sleep 2002 & echo ready; exec sleep 2003"],
    config: inHostPids,
  });
  const run = world.spawn(["run", "--detach", "--bundle", bundle, id]);
  assertEquals((await run.ended).stderr, "");
  await until("all run", () => sleepers().length === 3);
  return id;
}

function sleepers(): number[] {
  return descendants().map(({ pid }) => pid).filter((pid) =>
    /^sleep 200\d$/.test(commandLine(pid))
  );
}

e2e("kill --all ends what survives the first process in a shared pid namespace", async (world) => {
  const id = await sharedPids(world);
  await world.ok(["kill", id, "KILL"]);
  await stopped(world, id);
  assertEquals(sleepers().length, 2);
  await world.ok(["kill", "--all", id, "KILL"]);
  await until("none is left", () => sleepers().length === 0);
  await world.ok(["delete", id]);
});

e2e("delete ends what survives the first process in a shared pid namespace", async (world) => {
  const id = await sharedPids(world);
  await world.ok(["kill", id, "KILL"]);
  await stopped(world, id);
  await world.ok(["delete", id]);
});

e2e("delete --force ends all processes in a shared pid namespace", async (world) => {
  await world.ok(["delete", "--force", await sharedPids(world)]);
});

e2e("run ends what its program leaves behind in a shared pid namespace", async (world) => {
  const bundle = await world.bundle({
    args: ["sh", "-c", "sleep 2001 & sleep 2002 & exit 3"],
    config: inHostPids,
  });
  assertEquals((await world.belay(["run", "--bundle", bundle, world.id()])).code, 3);
});
