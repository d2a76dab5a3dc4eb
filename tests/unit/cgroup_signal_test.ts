import { assertEquals, assertThrows } from "@std/assert";
import { Cgroup } from "../../runtime/cgroup/cgroup.ts";
import { CgroupError } from "../../runtime/cgroup/cgroup_error.ts";
import { freezerState } from "../../runtime/cgroup/freezer.ts";
import { signalCgroup } from "../../runtime/cgroup/processes.ts";
import { fakeV1, fakeV2, Journal, plan, V1, V2 } from "./cgroup_fake_world.ts";

Deno.test("signalCgroup() kills all at once when there is cgroup.kill", () => {
  const kernel = fakeV2();
  const { directories } = Cgroup.create(kernel, plan(V2), new Journal(kernel));
  kernel.mount("/c/v2/x/sub").processes.set("/c/v2/x/sub", [5]);
  kernel.processes.set("/c/v2/x", [4]);
  assertEquals(signalCgroup(kernel, directories, 9), 2);
  assertEquals([kernel.signals, [...kernel.processes.values()]], [[], [[], []]]);
  assertEquals(signalCgroup(kernel, directories, 9), 0);
});

Deno.test("signalCgroup() freezes, holds each process, signals and thaws when there is only v1", () => {
  const kernel = fakeV1();
  const world = { ...V1, hierarchies: V1.hierarchies.slice(0, -1) };
  const { directories } = Cgroup.create(kernel, plan(world), new Journal(kernel));
  kernel.processes.set("/c/freezer/x", [4, 5]);
  kernel.log.length = 0;
  assertEquals(signalCgroup(kernel, directories, 15), 2);
  assertEquals(kernel.signals, [[4, 15], [5, 15]]);
  assertEquals(kernel.log, [
    "write /c/freezer/x/freezer.state FROZEN",
    "write /c/freezer/x/freezer.state THAWED",
  ]);
  assertEquals(kernel.openFds, 0);
});

Deno.test("signalCgroup() does not signal a stranger that got the number", () => {
  const kernel = fakeV1();
  const world = { ...V1, hierarchies: V1.hierarchies.slice(0, -1) };
  const { directories } = Cgroup.create(kernel, plan(world), new Journal(kernel));
  kernel.processes.set("/c/freezer/x", [4, 5]);
  kernel.interfere = (name, _, args) => {
    if (name === "pidfd_open" && args[0] === 4) {
      // 4 ends, and before it is held its number belongs to a process elsewhere.
      kernel.processes.set("/c/freezer/x", [5]).set("/elsewhere", [4]);
    }
    return undefined;
  };
  signalCgroup(kernel, directories, 15);
  assertEquals(kernel.signals, [[5, 15]]);
});

Deno.test("signalCgroup() leaves a paused container paused, but for SIGKILL", () => {
  const kernel = fakeV1();
  const world = { ...V1, hierarchies: V1.hierarchies.slice(0, -1) };
  const { directories } = Cgroup.create(kernel, plan(world), new Journal(kernel));
  kernel.processes.set("/c/freezer/x", [4]);
  kernel.files.set("/c/freezer/x/freezer.self_freezing", "1\n");
  assertEquals(freezerState(kernel, directories), "frozen");
  kernel.log.length = 0;
  signalCgroup(kernel, directories, 15);
  assertEquals(kernel.log, []);
  signalCgroup(kernel, directories, 9);
  assertEquals(kernel.log.at(-1), "write /c/freezer/x/freezer.state THAWED");
});

Deno.test("signalCgroup() reaches the others when one cannot be signalled", () => {
  const kernel = fakeV1();
  const world = { ...V1, hierarchies: V1.hierarchies.slice(0, -1) };
  const { directories } = Cgroup.create(kernel, plan(world), new Journal(kernel));
  kernel.processes.set("/c/freezer/x", [4, 0, 5]);
  kernel.interfere = (name, _, args) =>
    name === "pidfd_open" && args[0] === 0 ? "EINVAL" : undefined;
  assertThrows(
    () => signalCgroup(kernel, directories, 15),
    CgroupError,
    "cannot signal a process of another pid namespace",
  );
  assertEquals(kernel.signals.map(([pid]) => pid), [4, 5]);
});

Deno.test("freezerState() is thawed when the cgroup is gone", () => {
  const kernel = fakeV1();
  const directory = { version: 1 as const, controllers: ["freezer"], path: "/c/freezer/gone" };
  assertEquals(freezerState(kernel, [directory]), "thawed");
  assertEquals(freezerState(kernel, []), "thawed");
});
