// linux.namespaces: new, absent, and by path, of every type.
import { assert, assertEquals, assertNotEquals, assertStringIncludes } from "@std/assert";
import { contained } from "./contained.ts";
import {
  FLAGS,
  Holder,
  namespaceOf,
  noTime,
  printed,
  seenInside,
  type Type,
  TYPES,
} from "./namespace_world.ts";
import { until } from "./world.ts";

for (const type of Object.keys(TYPES) as Type[]) {
  contained(
    `linux.namespaces ${type}: a new one is not the host's, none is the host's`,
    async (bundle) => {
      if (type === "user") bundle.userNamespace();
      else bundle.namespace(type);
      const made = await seenInside(bundle, type);
      assertNotEquals(made, namespaceOf(type));
      bundle.without(type);
      if (type === "mount") {
        assertStringIncludes(await bundle.refused(), "linux.namespaces");
        return;
      }
      if (type === "user") bundle.config.linux.uidMappings = bundle.config.linux.gidMappings = [];
      if (type === "uts") delete bundle.config.hostname;
      // Without a network namespace sysfs cannot be mounted in a user namespace; here there is none.
      assertEquals(await seenInside(bundle, type), namespaceOf(type));
    },
    type === "time" ? noTime : undefined,
  );

  contained(`linux.namespaces ${type}: by path it is that one`, async (bundle) => {
    const flags = type === "pid" ? ["-p", "--fork", "--mount-proc"] : [FLAGS[type]];
    if (type === "time") flags.push("--fork");
    await using holder = await Holder.start(bundle, flags);
    bundle.namespace(type, holder.path(type));
    assertEquals(await seenInside(bundle, type), namespaceOf(type, holder.pid));
    assertEquals(await bundle.ok("echo again"), "again");
  }, type === "time" ? noTime : undefined);

  contained(
    `linux.namespaces ${type}: a path of another type, or to nothing, is refused by name`,
    async (bundle) => {
      const wrong = type === "ipc" ? "uts" : "ipc";
      const at = () => {
        const { namespaces } = bundle.config.linux;
        return namespaces.findIndex((each: { type: string }) => each.type === type);
      };
      for (const path of [`/proc/self/ns/${wrong}`, "/nonexistent/ns", "/etc/passwd"]) {
        bundle.namespace(type, path);
        const message = await bundle.refused();
        assertStringIncludes(message, `linux.namespaces[${at()}].path`);
        assertStringIncludes(message, path);
      }
      bundle.namespace(type, "relative/path");
      assertStringIncludes(await bundle.refused(), `linux.namespaces[${at()}].path`);
    },
    type === "time" ? noTime : undefined,
  );
}

contained("linux.namespaces: all at once, new", async (bundle) => {
  bundle.userNamespace();
  for (const type of ["cgroup", "time"]) bundle.namespace(type);
  const inside = (await bundle.ok("for each in /proc/self/ns/*; do readlink $each; done")).split(
    "\n",
  );
  const outside = [...Deno.readDirSync("/proc/self/ns")].map(({ name }) =>
    Deno.readLinkSync(`/proc/self/ns/${name}`)
  );
  assertEquals(inside.filter((each) => outside.includes(each)), []);
}, noTime);

// time

contained("linux.timeOffsets are seen on the clocks inside", async (bundle) => {
  bundle.namespace("time");
  bundle.config.linux.timeOffsets = {
    boottime: { secs: 86400 * 1000, nanosecs: 5 },
    monotonic: { secs: 500, nanosecs: 0 },
  };
  const script = "cat /proc/self/timens_offsets; cut -d. -f1 /proc/uptime";
  const lines = (await bundle.ok(script)).split("\n").map((line) => line.split(/\s+/));
  assertEquals(lines.slice(0, 2), [["monotonic", "500", "0"], ["boottime", "86400000", "5"]]);
  const uptime = Number(Deno.readTextFileSync("/proc/uptime").split(".")[0]);
  assert(Math.abs(Number(lines[2]?.[0]) - uptime - 86400 * 1000) < 1000, lines.join());
  bundle.userNamespace();
  assertStringIncludes(await bundle.ok("cat /proc/self/timens_offsets"), "86400000");
  bundle.config.linux.timeOffsets = { boottime: { secs: -(10 ** 9) } };
  assertStringIncludes(await bundle.refused(), "linux.timeOffsets");
}, noTime);

contained("linux.timeOffsets without a new time namespace are refused", async (bundle) => {
  bundle.config.linux.timeOffsets = { monotonic: { secs: 1 } };
  assertStringIncludes(await bundle.refused(), "linux.timeOffsets");
  bundle.namespace("time", "/proc/self/ns/time");
  assertStringIncludes(await bundle.refused(), "linux.timeOffsets");
}, noTime);

// cgroup

contained(
  "linux.namespaces cgroup: the container's cgroup is the root of what it sees",
  async (bundle) => {
    const cgroup = "cut -d: -f3 /proc/self/cgroup | sort -u | tail -1";
    assertNotEquals(await bundle.ok(cgroup), "/");
    bundle.namespace("cgroup");
    // Hierarchies without directories of the container's show the caller's.
    assertEquals((await bundle.ok("cut -d: -f3 /proc/self/cgroup | sort -u")).split("\n"), ["/"]);
  },
);

// pid

contained(
  "linux.namespaces pid by path: the process is one of many, and all of its own end with it",
  async (bundle) => {
    await using holder = await Holder.start(bundle, ["-p", "--fork", "--mount-proc"]);
    bundle.namespace("pid", holder.path("pid"));
    assertNotEquals(await bundle.ok("echo $$"), "1");
    // In the foreground: belay reaps its child, as a namespace of pids cannot end while one of it is a zombie.
    const running = bundle.spawn("sleep 1000 & sleep 1000 & echo up; wait");
    await until("its children", () => printed(running) === "up\n");
    await bundle.world.ok(["delete", "--force", bundle.id]);
    assertEquals((await running.ended).code, 137);
    // The census of the test says that they are gone; the holder, pid 1 there, must live.
    Deno.kill(holder.pid, "SIGCONT");
  },
);
