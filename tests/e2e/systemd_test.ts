// --systemd-cgroup, on a bus of the test's own with a stand-in for systemd: what it is asked for, where the container
// is, and that nothing is left.
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { noFile, noProgram, type Obstacle } from "../skip.ts";
import { type PrivateBus, type Recorded, withBus } from "./private_bus.ts";
import type { StandIn } from "./systemd_stand_in.ts";
import { GID, OtherUser, SETPRIV, UID } from "./other_user.ts";
import { type AnySpec, belayPath, e2e, type Ended, MARK, until, type World } from "./world.ts";

/** systemd's hierarchies on a machine with cgroup v1; these tests are for that. */
const MOUNTS = ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"];
const OBSTACLES: Obstacle[] = [
  noProgram("dbus-daemon", "dbus"),
  noProgram("setpriv", "util-linux"),
  ...MOUNTS.map((path) => noFile(`${path}/cgroup.procs`)),
  ...["memory", "cpu", "pids", "devices"].map((name) => noFile(`/sys/fs/cgroup/${name}/tasks`)),
];
/** For a mount namespace: executes a command where cgroup2 is mounted and no other hierarchy, wherever. */
const CGROUP2_ALONE =
  "awk '$3 ~ /^cgroup/ { print $2 }' /proc/self/mounts | tac | xargs -r umount && " +
  'umount /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec "$@"';
/** Below it, with the test's mark in its name, are the test's units. */
const GROUP = `/${MARK}-systemd`;

function test(
  name: string,
  options: Partial<StandIn>,
  work: (world: World, bus: PrivateBus) => Promise<void>,
): void {
  e2e(name, async (world) => {
    try {
      await withBus(
        world,
        { controlGroup: GROUP, mounts: MOUNTS, ...options },
        (bus) => work(world, bus),
      );
    } finally {
      removeSlices();
    }
  }, OBSTACLES);
}

/** Slices are systemd's, and stay when units have gone. */
function removeSlices(): void {
  const remove = (path: string) => {
    for (const { name, isDirectory } of Deno.readDirSync(path)) {
      if (isDirectory) remove(`${path}/${name}`);
    }
    Deno.removeSync(path);
  };
  for (const mount of MOUNTS) {
    if (noFile(mount + GROUP) === undefined) remove(mount + GROUP);
  }
}

function members(calls: readonly Recorded[]): string[] {
  return calls.map(({ member }) => member);
}

/** The properties of a recorded call, by name. */
function properties(call: Recorded | undefined): Record<string, unknown> {
  const list: [string, { value: unknown }][] = call?.body[2];
  return Object.fromEntries(list.map(([name, { value }]) => [name, value]));
}

/** Where a process is, by controller. */
function cgroupsOf(pid: number): Record<string, string> {
  return Object.fromEntries(
    Deno.readTextFileSync(`/proc/${pid}/cgroup`).trim().split("\n").map((line) => {
      const [, names = "", path = ""] = line.split(":");
      return [names, path];
    }),
  );
}

const START = ["GetUnit", "Subscribe", "StartTransientUnit"];
const STOP = ["GetUnit", "Subscribe", "StopUnit", "ResetFailedUnit"];

const LIMITED = (slice: string) => (spec: AnySpec) => {
  spec.linux.cgroupsPath = slice;
  spec.linux.resources = {
    devices: [{ allow: false, access: "rwm" }],
    memory: { limit: 64 << 20 },
    cpu: { shares: 512, quota: 25000, period: 100000 },
    pids: { limit: 30 },
  };
};

test(
  "--systemd-cgroup makes a scope that has the container, and stops it",
  {},
  async (world, bus) => {
    const { env } = bus;
    const id = world.id();
    const bundle = await world.bundle({
      args: ["sleep", "1000"],
      config: LIMITED(`a-b.slice:pre:${id}`),
    });
    await world.ok(["--systemd-cgroup", "create", "--bundle", bundle, id], { env });
    const calls = bus.calls();
    assertEquals(members(calls), START);
    const started = calls[2];
    assertEquals(started?.body.slice(0, 2), [`pre-${id}.scope`, "replace"]);
    assertEquals(started?.body[3], []);
    const { Description, PIDs, DeviceAllow, ...rest } = properties(started);
    assertMatch(String(Description), new RegExp(`^belay container ${id} \\([0-9a-f]{8}\\)$`));
    assertEquals((PIDs as number[]).length, 1);
    assertEquals(
      (DeviceAllow as string[][]).map((each) => each.join(" ")).sort(),
      [
        ...["/dev/char/10:200 rwm", "/dev/char/1:3 rwm", "/dev/char/1:5 rwm", "/dev/char/1:7 rwm"],
        ...["/dev/char/1:8 rwm", "/dev/char/1:9 rwm", "/dev/char/5:0 rwm", "/dev/char/5:2 rwm"],
        ...["block-* m", "char-* m", "char-136 rwm"],
      ].sort(),
    );
    assertEquals(rest, {
      Slice: "a-b.slice",
      Delegate: true,
      DefaultDependencies: false,
      CPUAccounting: true,
      MemoryAccounting: true,
      BlockIOAccounting: true,
      TasksAccounting: true,
      MemoryLimit: String(64 << 20),
      CPUShares: "512",
      CPUQuotaPeriodUSec: "100000",
      CPUQuotaPerSecUSec: "250000",
      TasksMax: "30",
      DevicePolicy: "strict",
    });
    const { pid } = await world.state(id);
    const place = `${GROUP}/a.slice/a-b.slice/pre-${id}.scope`;
    for (const [names, path] of Object.entries(cgroupsOf(pid))) assertEquals(path, place, names);
    const file = (name: string) =>
      Deno.readTextFileSync(`/sys/fs/cgroup/${name.split(".")[0]}${place}/${name}`).trim();
    assertEquals(file("memory.limit_in_bytes"), String(64 << 20));
    assertEquals(file("cpu.shares"), "512");
    assertEquals(file("pids.max"), "30");
    // No other command needs the flag or the environment: the state has it.
    await world.ok(["start", id]);
    await world.ok(["exec", id, "true"]);
    await world.ok(["delete", "--force", id]);
    assertEquals(members(bus.calls()), [...START, ...STOP]);
    assertEquals(bus.calls().at(-2)?.body, [`pre-${id}.scope`, "replace"]);
  },
);

test("--systemd-cgroup run: without a path the unit is belay-ID.scope", {}, async (world, bus) => {
  const id = world.id();
  const bundle = await world.bundle({ args: ["sh", "-c", "cat /proc/self/cgroup; exit 3"] });
  const { code, stderr } = await world.belay(
    ["--systemd-cgroup", "run", "--bundle", bundle, id],
    { env: bus.env },
  );
  assertEquals([code, stderr], [3, ""]);
  assertEquals(members(bus.calls()), [...START, ...STOP]);
  assertEquals(bus.calls()[2]?.body[0], `belay-${id}.scope`);
  assertEquals(properties(bus.calls()[2]).Slice, "system.slice");
});

test("update tells systemd, and writes what it has no words for", {}, async (world, bus) => {
  const { env } = bus;
  const id = world.id();
  const bundle = await world.bundle({
    args: ["sleep", "1000"],
    config: LIMITED(`:${MARK}:${id}`),
  });
  await world.ok(["--systemd-cgroup", "run", "--detach", "--bundle", bundle, id], { env });
  const flags = ["--memory", "32M", "--cpu-quota", "33333", "--pids-limit", "17"];
  await world.ok(["update", ...flags, id]);
  const call = bus.calls().at(-1);
  assertEquals(call?.member, "SetUnitProperties");
  assertEquals(call?.body.slice(0, 2), [`${MARK}-${id}.scope`, true]);
  assertEquals(properties(call), {
    MemoryLimit: String(32 << 20),
    CPUQuotaPeriodUSec: "100000",
    CPUQuotaPerSecUSec: "340000", // in steps of 10 ms, up
    TasksMax: "17",
  });
  const place = `${GROUP}/system.slice/${MARK}-${id}.scope`;
  const quota = `/sys/fs/cgroup/cpu${place}/cpu.cfs_quota_us`;
  assertEquals(Deno.readTextFileSync(quota).trim(), "33333");
  await world.ok(["delete", "--force", id]);
});

test("update changes nothing that systemd does not take", { deaf: true }, async (world, bus) => {
  const { env } = bus;
  const id = world.id();
  const bundle = await world.bundle({ args: ["sleep", "9"], config: LIMITED(`:${MARK}:${id}`) });
  await world.ok(["--systemd-cgroup", "run", "--detach", "--bundle", bundle, id], { env });
  const { code, stderr } = await world.belay(["update", "--pids-limit", "17", id]);
  assertEquals(code, 1);
  assertStringIncludes(stderr, "systemd does not take the limits of");
  assertStringIncludes(stderr, "it is deaf (org.freedesktop.systemd1.PropertyReadOnly)");
  const place = `${GROUP}/system.slice/${MARK}-${id}.scope`;
  assertEquals(Deno.readTextFileSync(`/sys/fs/cgroup/pids${place}/pids.max`).trim(), "30");
  await world.ok(["delete", "--force", id]);
});

/** create fails, with these words, and leaves nothing; the census says so. */
function refused(name: string, options: Partial<StandIn>, words: string, last: string): void {
  test(name, options, async (world, bus) => {
    const bundle = await world.bundle({
      config: (spec) => spec.linux.cgroupsPath = ":taken:unit",
    });
    const command = ["--systemd-cgroup", "create", "--bundle", bundle, world.id()];
    const { code, stderr } = await world.belay(command, { env: bus.env });
    assertEquals(code, 1);
    assertStringIncludes(stderr, words);
    assertEquals(bus.calls().at(-1)?.member, last);
  });
}

refused(
  "--systemd-cgroup leaves a unit alone that is not the container's",
  { units: ["taken-unit.scope"] },
  "linux.cgroupsPath: systemd has a unit taken-unit.scope: another's",
  "GetUnit",
);
refused(
  "--systemd-cgroup fails when the process is not in the unit's cgroup",
  { lazy: true },
  "systemd did not put process",
  "ResetFailedUnit",
);

test("--systemd-cgroup tells of a job that fails; delete can be asked again", {
  result: "failed",
}, async (world, bus) => {
  const id = world.id();
  const bundle = await world.bundle();
  const command = ["--systemd-cgroup", "create", "--bundle", bundle, id];
  const { code, stderr } = await world.belay(command, { env: bus.env });
  assertEquals(code, 1);
  assertStringIncludes(stderr, `systemd could not start belay-${id}.scope: its job ended as`);
  // The stand-in's stop "fails", too, but its unit has gone.
  await world.ok(["delete", "--force", id]);
});

test("a belay that was killed leaves a unit that delete stops", {}, async (world, bus) => {
  const id = world.id();
  const bundle = await world.bundle({ args: ["sleep", "1000"] });
  const running = world.spawn(
    ["--systemd-cgroup", "run", "--bundle", bundle, id],
    { env: bus.env },
  );
  await until("it runs", async () => {
    const { code, stdout } = await world.belay(["state", id]);
    return code === 0 && JSON.parse(stdout).status === "running";
  });
  running.signal("SIGKILL");
  await running.ended;
  await world.ok(["delete", "--force", id]);
  assertEquals(members(bus.calls()), [...START, ...STOP]);
});

test("--systemd-cgroup on cgroup v2 alone: one directory, which is systemd's", {
  mounts: ["/sys/fs/cgroup/unified"],
}, async (world, bus) => {
  const id = world.id();
  const bundle = await world.bundle({
    args: ["cat", "/proc/self/cgroup"],
    // Without v1 nothing has controllers here: they are v1's.
    config: (spec) => spec.linux.resources = { devices: [{ allow: false, access: "rwm" }] },
  });
  const { code, stdout, stderr } = await world.start([
    ...["unshare", "--mount", "--propagation", "private", "sh", "-c", CGROUP2_ALONE, "sh"],
    ...[belayPath, "--root", world.root, "--systemd-cgroup", "run", "--bundle", bundle, id],
  ], { env: bus.env }).ended;
  assertEquals([code, stderr], [0, ""]);
  assertStringIncludes(stdout, `0::${GROUP}/system.slice/belay-${id}.scope\n`);
  assertEquals(members(bus.calls()), [...START, ...STOP]);
  const { IOAccounting, DevicePolicy } = properties(bus.calls()[2]);
  assertEquals([IOAccounting, DevicePolicy], [true, "strict"]);
});

const UNIFIED = "/sys/fs/cgroup/unified";

/** A user's bus, and how that user runs belay where cgroup2 alone is mounted. */
function users(
  name: string,
  work: (
    user: OtherUser,
    bus: PrivateBus,
    on2: (...args: string[]) => Promise<Ended>,
    world: World,
  ) => Promise<void>,
): void {
  test(name, { mounts: [UNIFIED], owner: [UID, GID] }, (world, bus) => {
    const user = new OtherUser(world);
    const env = {
      ...{ PATH: Deno.env.get("PATH") ?? "", HOME: user.home, XDG_RUNTIME_DIR: user.runtimeDir },
      DBUS_SESSION_BUS_ADDRESS: bus.env.DBUS_SYSTEM_BUS_ADDRESS ?? "",
    };
    const on2 = (...args: string[]) =>
      world.start([
        ...["unshare", "--mount", "--propagation", "private", "sh", "-c", CGROUP2_ALONE, "sh"],
        ...[...SETPRIV, user.executable, ...args],
      ], { clearEnv: true, env }).ended;
    return work(user, bus, on2, world);
  });
}

users("a user's container is in a scope of the user's systemd", async (user, bus, on2, world) => {
  const id = world.id();
  const bundle = await user.bundle(["sleep", "1000"], ({ linux }) => {
    linux.cgroupsPath = `:pre:${id}`;
    linux.resources = { devices: [{ allow: false, access: "rwm" }] };
  });
  const ok = async (...args: string[]) => {
    const { code, stdout, stderr } = await on2(...args);
    assertEquals([code, stderr], [0, ""], args.join(" "));
    return stdout;
  };
  await ok("--systemd-cgroup", "run", "--detach", "--bundle", bundle, id);
  assertEquals(members(bus.calls()), START);
  const started = bus.calls()[2];
  assertEquals(started?.body[0], `pre-${id}.scope`);
  const { Description: _description, PIDs: _pids, ...rest } = properties(started);
  // Devices are not a user's to restrict: nothing is told of them.
  assertEquals(rest, {
    ...{ Slice: "user.slice", Delegate: true, DefaultDependencies: false },
    ...{ CPUAccounting: true, MemoryAccounting: true, IOAccounting: true, TasksAccounting: true },
  });
  const place = `${GROUP}/user.slice/pre-${id}.scope`;
  const { pid } = JSON.parse(await ok("state", id));
  assertEquals(cgroupsOf(pid)[""], place);
  // Whoever calls is in a cgroup that is not the user's, and so must not move anybody out of it.
  assertStringIncludes(await ok("exec", id, "cat", "/proc/self/cgroup"), `0::${place}\n`);
  const attached = bus.calls().at(-1);
  assertEquals([attached?.member, attached?.body.slice(0, 2)], [
    "AttachProcessesToUnit",
    [`pre-${id}.scope`, ""],
  ]);
  await ok("pause", id);
  assertEquals(JSON.parse(await ok("state", id)).status, "paused");
  await ok("delete", "--force", id);
  assertEquals(members(bus.calls()), [...START, "AttachProcessesToUnit", ...STOP]);
});

users("a user is told what the user's systemd has not", async (user, bus, _, world) => {
  const bundle = await user.bundle(["true"]);
  const create = ["create", "--bundle", bundle, world.id()];
  // Outside of that mount namespace there is cgroup v1.
  const env = { DBUS_SESSION_BUS_ADDRESS: bus.env.DBUS_SYSTEM_BUS_ADDRESS ?? "" };
  const v1 = await user.belay(["--systemd-cgroup", ...create], { env });
  assertEquals(v1.code, 1);
  assertStringIncludes(v1.stderr, "on cgroup2 alone, and here are controllers of cgroup v1");
  const nowhere = await user.belay(["--systemd-cgroup", ...create]);
  assertStringIncludes(nowhere.stderr, `there is no user's bus at ${user.runtimeDir}/bus`);
  const unset = { env: { XDG_RUNTIME_DIR: "" } };
  const unknown = await user.belay(["--root", user.home, "--systemd-cgroup", ...create], unset);
  assertStringIncludes(unknown.stderr, "nothing says where the user's bus is");
  assertEquals(members(bus.calls()), []);
  for (const { stderr } of [v1, nowhere, unknown]) {
    assert(!stderr.includes("\n    at "), stderr);
  }
});

e2e("--systemd-cgroup names the bus that it cannot reach", async (world) => {
  const bundle = await world.bundle();
  const env = { DBUS_SYSTEM_BUS_ADDRESS: `unix:path=${world.dir}/nobody` };
  const command = ["--systemd-cgroup", "create", "--bundle", bundle, world.id()];
  const { code, stderr } = await world.belay(command, { env });
  assertEquals(code, 1);
  assertStringIncludes(stderr, `unix:path=${world.dir}/nobody: cannot be reached: connect(`);
  assert(!stderr.includes("\n    at "), stderr);
});
