import { assertEquals, assertThrows } from "@std/assert";
import { isSyscallError } from "../../ffi/syscall_error.ts";
import { Cgroup } from "../../runtime/cgroup/cgroup.ts";
import { CgroupError } from "../../runtime/cgroup/cgroup_error.ts";
import type { CgroupWorld } from "../../runtime/cgroup/cgroup_mounts.ts";
import { destroyCgroups } from "../../runtime/cgroup/destroy_cgroups.ts";
import { enterCalls, intoCall } from "../../runtime/cgroup/enter_cgroup.ts";
import { signalCgroup } from "../../runtime/cgroup/processes.ts";
import type { FakeKernel } from "./cgroup_fake_kernel.ts";
import { fakeV1, fakeV2, Journal, LIMITS, NAMES, plan, V1, V2 } from "./cgroup_fake_world.ts";

/** The whole of a container's life, as far as it has a cgroup. */
function live(kernel: FakeKernel, world: CgroupWorld, journal: Journal, path?: string): void {
  const cgroup = Cgroup.create(kernel, plan(world, LIMITS, path), journal);
  try {
    kernel.batch(enterCalls(cgroup.directories));
    const into = intoCall(cgroup.directories);
    if (into !== undefined) kernel.call(into);
  } finally {
    kernel.end(); // those were a stub's, and it has ended
  }
  cgroup.limit(kernel);
  signalCgroup(kernel, cgroup.directories, 9);
}

Deno.test("Cgroup.create() journals every directory before the first mkdir", () => {
  const kernel = fakeV1();
  const journal = new Journal(kernel);
  Cgroup.create(kernel, plan(V1, LIMITS, "/a/b"), journal);
  const first = kernel.log.findIndex((line) => line.startsWith("mkdirat"));
  assertEquals(kernel.log.indexOf("journal 14"), first - 1);
  const made = kernel.log.filter((line) => line.startsWith("mkdirat")).map((line) => line.slice(8));
  assertEquals(journal.entries.map(({ path }) => path), made);
  assertEquals(journal.entries.filter(({ shared }) => shared).length, 7);
});

Deno.test("Cgroup.create() gives a cpuset and those on the way to it their parents' values", () => {
  const kernel = fakeV1();
  Cgroup.create(kernel, plan(V1, { cpu: { cpus: "1" } }, "/a/b"), new Journal(kernel));
  assertEquals(kernel.files.get("/c/cpuset/a/cpuset.cpus"), "0-1");
  assertEquals(kernel.files.get("/c/cpuset/a/b/cpuset.cpus"), "1");
  assertEquals(kernel.files.get("/c/cpuset/a/cpuset.mems"), "0");
  assertEquals(kernel.files.get("/c/cpuset/a/b/cpuset.mems"), "0");
});

Deno.test("Cgroup.create() enables controllers from the top down when they are missing", () => {
  const kernel = fakeV2();
  const cgroup = Cgroup.create(kernel, plan(V2, LIMITS, "/a/b"), new Journal(kernel));
  const enabled = kernel.log.filter((line) => line.includes("subtree_control"));
  assertEquals(enabled, [
    "write /c/v2/cgroup.subtree_control +cpu +memory +pids",
    "write /c/v2/a/cgroup.subtree_control +cpu +memory +pids",
  ]);
  assertEquals(enterCalls(cgroup.directories), []);
  // The next container finds them enabled.
  kernel.log.length = 0;
  Cgroup.create(kernel, plan(V2, LIMITS, "/a/c"), new Journal(kernel));
  assertEquals(kernel.log.filter((line) => line.includes("subtree_control")), []);
});

Deno.test("Cgroup.create() names the field when an ancestor keeps the controller", () => {
  const kernel = fakeV2();
  kernel.files.set("/c/v2/cgroup.controllers", "cpu pids");
  assertThrows(
    () => Cgroup.create(kernel, plan(V2, LIMITS), new Journal(kernel)),
    CgroupError,
    "linux.resources.memory.limit: the memory controller is not enabled in /c/v2/x",
  );
  // What nobody asked for is not missed.
  Cgroup.create(kernel, plan(V2, { pids: { limit: 1 } }, "y"), new Journal(kernel));
});

Deno.test("Cgroup.create() refuses a cgroup in use before it journals anything", () => {
  const kernel = fakeV1();
  kernel.mount("/c/cpu/x").processes.set("/c/cpu/x", [7, 8]);
  const journal = new Journal(kernel);
  assertThrows(
    () => Cgroup.create(kernel, plan(V1), journal),
    CgroupError,
    "/c/cpu/x is in use by processes 7, 8",
  );
  assertEquals(journal.entries, []);
  // Also when only one hierarchy has it.
  const other = fakeV1().mount("/c/pids/x");
  other.processes.set("/c/pids/x", [9]);
  assertThrows(() => Cgroup.create(other, plan(V1), new Journal(other)), CgroupError, "process 9");
});

Deno.test("Cgroup.create() takes over an empty cgroup, but not a frozen one", () => {
  const kernel = fakeV1();
  for (const name of NAMES) kernel.mount(`/c/${name}/x`);
  Cgroup.create(kernel, plan(V1), new Journal(kernel));
  kernel.files.set("/c/freezer/x/freezer.self_freezing", "1\n");
  assertThrows(
    () => Cgroup.create(kernel, plan(V1), new Journal(kernel)),
    CgroupError,
    "is frozen",
  );
});

Deno.test("Cgroup.create() goes without only when the mounts are read-only and nothing asks", () => {
  const kernel = fakeV1();
  kernel.interfere = (name) => name === "mkdirat" ? "EROFS" : undefined;
  const cgroup = Cgroup.create(kernel, plan(V1), new Journal(kernel));
  assertEquals([cgroup.directories, enterCalls(cgroup.directories), intoCall(cgroup.directories)], [
    [],
    [],
    undefined,
  ]);
  cgroup.limit(kernel);
  assertThrows(
    () => Cgroup.create(kernel, plan(V1, LIMITS), new Journal(kernel)),
    CgroupError,
    "linux.resources.memory.limit needs it",
  );
  // root is not refused: that is an error, and no reason to run without a device list.
  kernel.interfere = (name) => name === "mkdirat" ? "EPERM" : undefined;
  assertThrows(() => Cgroup.create(kernel, plan(V1), new Journal(kernel)), CgroupError);
  kernel.files.set("/proc/self/uid_map", "0 1000 1\n");
  assertEquals(Cgroup.create(kernel, plan(V1), new Journal(kernel)).directories, []);
});

Deno.test("Cgroup.create() goes without always, or never, when it is told so", () => {
  const kernel = fakeV1();
  const create = (forgiving: "true" | "false" | "auto", limits?: typeof LIMITS) =>
    Cgroup.create(kernel, plan(V1, limits), new Journal(kernel), forgiving);
  for (const errno of ["EACCES", "EPERM", "EROFS"] as const) {
    kernel.interfere = (name) => name === "mkdirat" ? errno : undefined;
    const { directories, visible } = create("true");
    assertEquals(directories, []);
    // What it may see then is where it is.
    assertEquals(visible.map(({ path, own }) => path === own), visible.map(() => true));
    assertThrows(() => create("false"), CgroupError, "cannot make cgroup");
    assertThrows(() => create("true", LIMITS), CgroupError, "needs it");
  }
  kernel.interfere = (name) => name === "mkdirat" ? "ENOSPC" : undefined;
  assertThrows(() => create("true"), CgroupError, "cannot make cgroup");
});

Deno.test("Cgroup.create() makes parents again when others remove them meanwhile", () => {
  const kernel = fakeV1();
  const journal = new Journal(kernel);
  let stolen = false;
  kernel.interfere = (name, _, args) => {
    if (name !== "mkdirat" || args[1] !== "/c/cpu/a/b" || stolen) return undefined;
    stolen = true;
    kernel.directories.delete("/c/cpu/a");
    return undefined;
  };
  const cgroup = Cgroup.create(kernel, plan(V1, undefined, "/a/b"), journal);
  assertEquals(cgroup.directories.length, 7);
  assertEquals(kernel.directories.has("/c/cpu/a/b"), true);
  destroyCgroups(kernel, journal.entries);
  assertEquals([...kernel.directories].filter((path) => path.includes("/a")), []);
});

Deno.test("Cgroup.limit() names field, file and value when the kernel refuses", () => {
  const kernel = fakeV1();
  const cgroup = Cgroup.create(kernel, plan(V1, LIMITS), new Journal(kernel));
  let opened = "";
  kernel.interfere = (name, _, args) => {
    if (name === "openat") opened = String(args[1]);
    return name === "write" && opened.endsWith("memory.limit_in_bytes") ? "EBUSY" : undefined;
  };
  const error = assertThrows(() => cgroup.limit(kernel), CgroupError);
  assertEquals(
    error.message,
    "linux.resources.memory.limit: cannot write 1048576 to /c/memory/x/memory.limit_in_bytes: " +
      "more than that is in use",
  );
  assertEquals(isSyscallError(error.cause, "EBUSY"), true);
  assertEquals(kernel.openFds, 0);
});

Deno.test("Cgroup.limit() writes the second of two values first when the first is refused", () => {
  const kernel = fakeV1();
  const resources = { memory: { limit: 1000, swap: 2000 } };
  const cgroup = Cgroup.create(kernel, plan(V1, resources), new Journal(kernel));
  let refusals = 1;
  kernel.interfere = (name, _, args) =>
    name === "write" && new TextDecoder().decode(args[1] as Uint8Array) === "1000" && refusals-- > 0
      ? "EINVAL"
      : undefined;
  kernel.log.length = 0;
  cgroup.limit(kernel);
  assertEquals(kernel.log.filter((line) => line.includes("memory")), [
    "write /c/memory/x/memory.memsw.limit_in_bytes 2000",
    "write /c/memory/x/memory.limit_in_bytes 1000",
  ]);
});

Deno.test("Cgroup.limit() writes the device list, all devices first", () => {
  const kernel = fakeV1();
  const cgroup = Cgroup.create(kernel, plan(V1), new Journal(kernel));
  kernel.log.length = 0;
  cgroup.limit(kernel);
  assertEquals(kernel.log.slice(0, 3), [
    "write /c/devices/x/devices.deny a *:* rwm",
    "write /c/devices/x/devices.allow c *:* m",
    "write /c/devices/x/devices.allow b *:* m",
  ]);
  const privileged = { devices: [{ allow: true, access: "rwm" }] };
  kernel.log.length = 0;
  Cgroup.create(kernel, plan(V1, privileged, "y"), new Journal(kernel)).limit(kernel);
  assertEquals(kernel.log.filter((line) => line.includes("devices.")), [
    "write /c/devices/y/devices.allow a *:* rwm",
  ]);
});

Deno.test("Cgroup.limit() does without a device list when it is in a user namespace", () => {
  const kernel = fakeV2();
  const cgroup = Cgroup.create(kernel, plan(V2), new Journal(kernel));
  kernel.interfere = (name) => name === "bpf" ? "EPERM" : undefined;
  assertThrows(() => cgroup.limit(kernel), CgroupError, "linux.resources.devices");
  kernel.files.set("/proc/self/uid_map", "0 1000 1\n");
  cgroup.limit(kernel);
});

Deno.test("destroyCgroups() removes all that was journalled, whichever call failed", () => {
  let points = 0;
  for (const [world, fake] of [[V1, fakeV1], [V2, fakeV2]] as const) {
    for (const path of [undefined, "/a/b"]) {
      const whole = fake();
      live(whole, world, new Journal(whole), path);
      for (const errno of ["EPERM", "ENOMEM", "EINVAL", "EBUSY"] as const) {
        for (let k = 1; k <= whole.calls; k++, points++) {
          const kernel = fake();
          const before = [...kernel.directories];
          const journal = new Journal(kernel);
          // A close that fails has closed, too (close(2)): here it would only look like a leak.
          kernel.interfere = (name, nth) => nth === k && name !== "close" ? errno : undefined;
          try {
            live(kernel, world, journal, path);
          } catch (error) {
            if (!isSyscallError(error) && !(error instanceof CgroupError)) throw error;
          }
          kernel.interfere = () => undefined;
          assertEquals(kernel.openFds, 0, `descriptors after ${errno} at call ${k}`);
          kernel.processes.clear();
          destroyCgroups(kernel, journal.entries);
          destroyCgroups(kernel, journal.entries);
          assertEquals([...kernel.directories], before, `${errno} at call ${k}`);
        }
      }
    }
  }
  assertEquals(points > 1000, true, `only ${points} points`);
});

Deno.test("destroyCgroups() removes the rest when a call of its own fails", () => {
  for (let k = 1, calls = 1; k <= calls; k++) {
    const kernel = fakeV1();
    const before = [...kernel.directories];
    const journal = new Journal(kernel);
    Cgroup.create(kernel, plan(V1, undefined, "/a/b"), journal);
    kernel.mount("/c/pids/a/b/sub");
    const start = kernel.calls;
    kernel.interfere = (name, nth) => nth === start + k && name !== "close" ? "ENOMEM" : undefined;
    try {
      destroyCgroups(kernel, journal.entries);
    } catch (error) {
      if (!(error instanceof CgroupError)) throw error;
    }
    calls = kernel.calls - start;
    const left = [...kernel.directories].filter((path) => !before.includes(path));
    assertEquals(left.every((path) => path.startsWith("/c/pids/a")), true, `${left} at call ${k}`);
    destroyCgroups(kernel, journal.entries);
    assertEquals([...kernel.directories], before, `at call ${k}`);
  }
});

Deno.test("destroyCgroups() leaves parents that others use and says who stays", () => {
  const kernel = fakeV1();
  const mine = new Journal(kernel);
  Cgroup.create(kernel, plan(V1, undefined, "/a/b"), mine);
  Cgroup.create(kernel, plan(V1, undefined, "/a/c"), new Journal(kernel));
  kernel.processes.set("/c/pids/a/b", [12, 13]);
  const error = assertThrows(() => destroyCgroups(kernel, mine.entries), CgroupError);
  assertEquals(
    error.message,
    "cannot remove cgroup /c/pids/a/b: it still has processes 12, 13",
  );
  kernel.processes.delete("/c/pids/a/b");
  destroyCgroups(kernel, mine.entries);
  assertEquals(kernel.directories.has("/c/pids/a/b"), false);
  assertEquals(kernel.directories.has("/c/pids/a/c"), true);
});
