// A container from create to delete, and what is refused on the way.
import {
  assert,
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertStringIncludes,
} from "@std/assert";
import { isThere } from "../../scripts/is_there.ts";
import { noProgram } from "../skip.ts";
import { namespacesOf, processOf } from "./census.ts";
import { errorIn } from "./contained.ts";
import { e2e, MARK, until, type World } from "./world.ts";

const SLEEP = ["sleep", "1000"];

/** Fails with this message, exit code 1 and nothing on stdout. */
async function refused(world: World, args: readonly string[], message: string): Promise<void> {
  const { code, stdout, stderr } = await world.belay(args);
  assertEquals([code, stdout], [1, ""], `${args.join(" ")}: ${stderr}`);
  assertStringIncludes(errorIn(stderr), message, args.join(" "));
}

e2e("create, start, kill and delete lead a container through every status", async (world) => {
  const id = world.id();
  const bundle = await world.bundle({
    args: ["sh", "-c", "echo started; exec sleep 1000"],
    config: (spec) => spec.annotations = { "org.example.key": "välue" },
  });
  const created = await world.ok(["create", "--bundle", bundle, id]);
  assertEquals([created.stdout, created.stderr], ["", ""]);
  const first = await world.state(id);
  assertEquals([first.status, first.bundle, first.id], ["created", bundle, id]);
  assertEquals(first.annotations, { "org.example.key": "välue" });
  assertNotEquals(processOf(first.pid), undefined);
  const namespaces = namespacesOf(first.pid);

  await world.ok(["start", id]);
  const running = await world.state(id);
  assertEquals(running, { ...first, status: "running" });
  assertEquals(namespacesOf(running.pid), namespaces, "start moves no namespace");

  await world.ok(["kill", id, "KILL"]);
  const stopped = await until("the container stops", async () => {
    const state = await world.state(id);
    return state.status === "stopped" && state;
  });
  assertEquals(stopped, { ...first, status: "stopped", pid: 0 });

  await world.ok(["delete", id]);
  await refused(world, ["state", id], "container does not exist");
});

e2e("state has runc's fields in runc's order, at every status", async (world) => {
  const bundle = await world.bundle({
    args: SLEEP,
    config: (spec) => spec.annotations = { a: "b" },
  });
  const id = world.id();
  const runc = (...args: string[]) => world.start(["runc", "--root", `${world.dir}/runc`, ...args]);
  for (const step of [["create", "--bundle", bundle], ["start"], ["kill"]]) {
    const args = [...step, id, ...(step[0] === "kill" ? ["KILL"] : [])];
    const theirs = await runc(...args).ended;
    assertEquals(theirs.code, 0, theirs.stderr);
    // Of one name, in one cgroup: so one after the other.
    if (step[0] !== "kill") continue;
    await until("runc's container stops", async () => {
      return JSON.parse((await runc("state", id).ended).stdout).status === "stopped";
    });
  }
  const theirs = JSON.parse((await runc("state", id).ended).stdout);
  assertEquals((await runc("delete", id).ended).code, 0);
  await world.ok(["create", "--bundle", bundle, id]);
  const created = await world.state(id);
  await world.ok(["delete", id]);
  assertEquals(Object.keys(created), Object.keys(theirs));
  for (const key of ["id", "bundle", "rootfs", "annotations"]) {
    assertEquals(created[key], theirs[key], key);
  }
  for (const key of Object.keys(theirs)) assertEquals(typeof created[key], typeof theirs[key], key);
  for (const { created: time } of [created, theirs]) {
    assertMatch(time, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  }
}, noProgram("runc"));

e2e(
  "list shows a container whose state file is damaged, and delete --force removes it",
  async (world) => {
    const [id, other] = [world.id(), world.id()];
    for (const each of [id, other]) {
      await world.ok(["create", "--bundle", await world.bundle(), each]);
    }
    await world.ok(["kill", id, "KILL"]);
    const file = `${world.root}/${id}/state.json`;
    const whole = JSON.parse(Deno.readTextFileSync(file));
    for (const change of [{ hooks: null }, { bundle: 7 }, { join: undefined }]) {
      Deno.writeTextFileSync(file, JSON.stringify({ ...whole, ...change }));
      const { stdout } = await world.ok(["list"]);
      assertMatch(stdout, new RegExp(`^${id} .* creating `, "m"));
      assertMatch(stdout, new RegExp(`^${other} .* created `, "m"));
    }
    await world.ok(["delete", "--force", id]);
    await world.ok(["delete", other]);
  },
);

e2e("state says creating while a createRuntime hook runs", async (world) => {
  const id = world.id();
  const wait = `touch ${world.dir}/here; while [ ! -e ${world.dir}/go ]; do sleep 0.01; done`;
  const bundle = await world.bundle({
    config: (spec) =>
      spec.hooks = {
        createRuntime: [{ path: "/bin/sh", args: ["sh", "-c", wait], env: ["PATH=/bin"] }],
      },
  });
  const create = world.spawn(["create", "--bundle", bundle, id]);
  await until("the hook runs", () => isThere(`${world.dir}/here`));
  const state = await world.state(id);
  assertEquals(state.status, "creating");
  assert(state.pid > 0);
  await refused(world, ["start", id], "is being worked on by another belay");
  await refused(world, ["delete", id], "is being worked on by another belay");
  Deno.writeTextFileSync(`${world.dir}/go`, "");
  assertEquals((await create.ended).code, 0);
  assertEquals((await world.state(id)).status, "created");
  await world.ok(["delete", id]);
});

e2e("start is refused for a container that runs, has stopped or does not exist", async (world) => {
  const id = world.id();
  await refused(world, ["start", id], "container does not exist");
  const bundle = await world.bundle({ args: SLEEP });
  await world.ok(["run", "--detach", "--bundle", bundle, id]);
  await refused(world, ["start", id], "cannot start an already running container");
  await world.ok(["kill", id, "9"]);
  await until("the container stops", async () => (await world.state(id)).status === "stopped");
  await refused(world, ["start", id], "cannot start a container that has stopped");
  await world.ok(["delete", id]);
});

e2e("start says so when the created process was killed", async (world) => {
  const id = world.id();
  await world.ok(["create", "--bundle", await world.bundle(), id]);
  await world.ok(["kill", id, "KILL"]);
  await until("the container stops", async () => (await world.state(id)).status === "stopped");
  await refused(world, ["start", id], "cannot start a container that has stopped");
  await world.ok(["delete", id]);
});

e2e("delete refuses a running container, and ends it with --force", async (world) => {
  const id = world.id();
  await world.ok(["run", "-d", "-b", await world.bundle({ args: SLEEP }), id]);
  await refused(
    world,
    ["delete", id],
    `cannot delete container ${id} that is not stopped: running`,
  );
  assertEquals((await world.state(id)).status, "running");
  assertEquals(await world.ok(["delete", "--force", id]), { code: 0, stdout: "", stderr: "" });
});

e2e("delete ends a container that was created and never started", async (world) => {
  const id = world.id();
  await world.ok(["create", "--bundle", await world.bundle(), id]);
  await world.ok(["delete", id]);
});

e2e("delete --force of an unknown id succeeds in silence; delete does not", async (world) => {
  const id = world.id();
  assertEquals(await world.belay(["delete", "-f", id]), { code: 0, stdout: "", stderr: "" });
  await refused(world, ["delete", id], "container does not exist");
  assert(!isThere(world.root), "and makes no state root");
});

e2e("delete twice: the second finds nothing, and with --force that is fine", async (world) => {
  const id = world.id();
  await world.ok(["create", "--bundle", await world.bundle(), id]);
  await world.ok(["delete", "--force", id]);
  await world.ok(["delete", "--force", id]);
  await refused(world, ["delete", id], "container does not exist");
});

e2e("create refuses an id that exists, and leaves that container alone", async (world) => {
  const id = world.id();
  const bundle = await world.bundle({ args: SLEEP });
  await world.ok(["create", "--bundle", bundle, id]);
  const before = await world.state(id);
  for (const command of ["create", "run"]) {
    await refused(
      world,
      [command, "--bundle", bundle, id],
      "container with given ID already exists",
    );
  }
  assertEquals(await world.state(id), before);
  await world.ok(["start", id]);
  await world.ok(["delete", "--force", id]);
});

e2e("ids that are no names are refused, and nothing is made", async (world) => {
  const bundle = await world.bundle();
  for (const id of ["", ".", "..", "a/b", "../x", "a b", "ü", "x".repeat(1025), "a\nb"]) {
    await refused(world, ["create", "--bundle", bundle, id], "invalid container ID");
    await refused(world, ["state", id], "invalid container ID");
    await refused(world, ["delete", "--force", id], "invalid container ID");
  }
  assert(!isThere(world.root));
});

e2e("ids may have every character that runc allows", async (world) => {
  const bundle = await world.bundle();
  for (const tail of ["a-b", "a_b", "a+b", "A.9", "a..b"]) {
    const { code, stderr } = await world.belay(["run", "--bundle", bundle, `${MARK}${tail}`]);
    assertEquals([code, stderr], [0, ""], tail);
  }
});

e2e(
  "create fails without a bundle, a config.json or a rootfs, and leaves nothing",
  async (world) => {
    const id = world.id();
    await refused(world, ["create", "--bundle", `${world.dir}/none`, id], `${world.dir}/none`);
    Deno.mkdirSync(`${world.dir}/empty`);
    await refused(world, ["create", "--bundle", `${world.dir}/empty`, id], "config.json");
    const bundle = await world.bundle({ config: (spec) => spec.root.path = "nowhere" });
    await refused(world, ["create", "--bundle", bundle, id], "nowhere");
    await refused(world, ["state", id], "container does not exist");
  },
);

e2e("list shows every container, as a table, as JSON and as ids alone", async (world) => {
  assertEquals((await world.ok(["list", "-q"])).stdout, "");
  assertEquals((await world.ok(["list", "--format", "json"])).stdout, "null");
  const header = /^ID +PID +STATUS +BUNDLE +CREATED +OWNER\n/;
  assertMatch((await world.ok(["list"])).stdout, header);
  const bundle = await world.bundle({ args: SLEEP });
  const ids = [world.id("a"), world.id("b")];
  for (const id of ids) await world.ok(["create", "--bundle", bundle, id]);
  await world.ok(["start", ids[1] ?? ""]);
  assertEquals((await world.ok(["list", "--quiet"])).stdout, ids.map((id) => `${id}\n`).join(""));
  const all = JSON.parse((await world.ok(["list", "-f", "json"])).stdout);
  assertEquals(all, [await world.state(ids[0] ?? ""), await world.state(ids[1] ?? "")]);
  const [head, ...rows] = (await world.ok(["list"])).stdout.trimEnd().split("\n");
  assertMatch(`${head}\n`, header);
  assertEquals(
    rows.map((row) => row.trimEnd().split(/ {3,}/)),
    all.map((each: Record<string, unknown>) =>
      ["id", "pid", "status", "bundle", "created", "owner"].map((key) => String(each[key]))
    ),
  );
  for (const id of ids) await world.ok(["delete", "--force", id]);
});

e2e(
  "list makes control characters of bundle paths and names of directories visible",
  async (world) => {
    const given = await world.bundle();
    const bundle = `${given}\x1b[2J\nfake 1 running\x9b`;
    Deno.renameSync(given, bundle);
    const id = world.id();
    await world.ok(["create", "--bundle", bundle, id]);
    const { stdout } = await world.ok(["list"]);
    const shown = `${given}\\x1b[2J\\x0afake 1 running\\x9b`;
    assertEquals(stdout.split("\n")[1]?.split(/ {3,}/)[3], shown);
    await world.ok(["delete", id]);
    // Nobody but the root's owner makes these; and ids are for the terminal, too.
    Deno.mkdirSync(`${world.root}/a\x1b[2J`);
    assertEquals((await world.ok(["list", "-q"])).stdout, "a\\x1b[2J\n");
    Deno.removeSync(`${world.root}/a\x1b[2J`);
  },
);

e2e("what is said on stderr beside --log drives no terminal", async (world) => {
  const bundle = `${world.dir}/no\x1b[2Jsuch`;
  const log = `${world.dir}/log`;
  const { code, stderr } = await world.belay(["--log", log, "create", "--bundle", bundle, "x"]);
  assertEquals(code, 1);
  assertStringIncludes(stderr, "no\\x1b[2Jsuch");
  assert(!stderr.includes("\x1b"), stderr);
});

e2e("list prints runc's table, to the space", async (world) => {
  const bundle = await world.bundle({ args: SLEEP });
  const id = world.id();
  const runc = (...args: string[]) =>
    world.start(["runc", "--root", `${world.dir}/runc`, ...args]).ended;
  assertEquals((await runc("create", "--bundle", bundle, id)).code, 0);
  const theirs = (await runc("list")).stdout;
  assertEquals((await runc("delete", "--force", id)).code, 0);
  await world.ok(["create", "--bundle", bundle, id]);
  const ours = (await world.ok(["list"])).stdout;
  await world.ok(["delete", id]);
  // What differs from run to run: the number, and how many digits the time has.
  const shape = (table: string) =>
    table.replaceAll(/ \d+ +created/g, " PID created").replaceAll(/\d{4}-\d\d-\S+ +/g, "TIME ")
      .replace(/CREATED +/, "CREATED ");
  assertEquals(shape(ours), shape(theirs));
}, noProgram("runc"));

e2e(
  "--pid-file gets the number of the container's process, on create and on run",
  async (world) => {
    const bundle = await world.bundle({ args: SLEEP });
    for (const command of [["create"], ["run", "--detach"]]) {
      const id = world.id();
      const file = `${world.dir}/${command[0]}.pid`;
      await world.ok([...command, "--bundle", bundle, "--pid-file", file, id]);
      assertEquals(Deno.readTextFileSync(file), String((await world.state(id)).pid));
      await world.ok(["delete", "--force", id]);
    }
  },
);

e2e("--pid-file that cannot be written fails create, and nothing stays", async (world) => {
  const id = world.id();
  const file = `${world.dir}/none/pid`;
  await refused(world, ["create", "--bundle", await world.bundle(), "--pid-file", file, id], file);
  await refused(world, ["state", id], "container does not exist");
});

e2e("--pid-file replaces one that was left by an earlier container", async (world) => {
  const id = world.id();
  const file = `${world.dir}/pid`;
  Deno.writeTextFileSync(file, "1234567890");
  Deno.writeTextFileSync(`${world.dir}/.pid`, "1234567890"); // and by a belay that was killed as it wrote
  await world.ok(["create", "--bundle", await world.bundle(), "--pid-file", file, id]);
  assertEquals(Deno.readTextFileSync(file), String((await world.state(id)).pid));
  await world.ok(["delete", id]);
});

e2e(
  "after create no belay is left, and the container's process has a new parent",
  async (world) => {
    const id = world.id();
    const bundle = await world.bundle();
    const create = world.spawn(["create", "--bundle", bundle, id]);
    assertEquals((await create.ended).code, 0);
    const { pid } = await world.state(id);
    // This process adopts what its children leave (census.ts), as conmon and containerd's shim do.
    assertEquals(processOf(pid)?.parent, Deno.pid);
    assertEquals(processOf(create.pid), undefined);
    await world.ok(["delete", id]);
  },
);
