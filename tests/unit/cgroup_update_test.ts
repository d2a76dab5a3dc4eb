// updateCgroup() on cgroup file systems in memory: all of an update, or nothing.
import { assertEquals, assertThrows } from "@std/assert";
import { CgroupError } from "../../runtime/cgroup/cgroup_error.ts";
import { updateCgroup } from "../../runtime/cgroup/update_cgroup.ts";
import { RESOURCES } from "../../runtime/spec/resources_schema.ts";
import { ValidationError } from "../../runtime/spec/validation_error.ts";
import type { FakeKernel } from "./cgroup_fake_kernel.ts";
import { fakeV1, fakeV2, NAMES } from "./cgroup_fake_world.ts";

const V1 = NAMES.map((name) => ({
  ...{ version: 1 as const, controllers: [name], path: `/c/${name}/x` },
}));
const V2 = [{ version: 2 as const, controllers: ["cpu", "memory", "pids"], path: "/c/v2/x" }];

function v1(files: Record<string, string>): FakeKernel {
  const kernel = fakeV1();
  for (const name of NAMES) kernel.mount(`/c/${name}/x`);
  for (const path in files) kernel.files.set(`/c/${path}`, files[path] ?? "");
  return kernel;
}

function v2(files: Record<string, string>): FakeKernel {
  const kernel = fakeV2().mount("/c/v2/x");
  for (const name in files) kernel.files.set(`/c/v2/x/${name}`, files[name] ?? "");
  return kernel;
}

/** What a write(2) writes. */
function textOf(args: readonly unknown[]): string {
  return new TextDecoder().decode(args[1] as Uint8Array);
}

function update(kernel: FakeKernel, directories: typeof V1 | typeof V2, resources: object): void {
  kernel.log.length = 0;
  updateCgroup(kernel, directories, RESOURCES.parse(resources, "linux.resources", []));
  assertEquals(kernel.openFds, 0);
}

Deno.test("updateCgroup() writes what is asked for and nothing else", () => {
  const kernel = v1({});
  update(kernel, V1, { memory: { limit: 1 << 20 }, pids: { limit: 3 } });
  assertEquals(kernel.log, [
    "write /c/memory/x/memory.limit_in_bytes 1048576",
    "write /c/pids/x/pids.max 3",
  ]);
});

Deno.test("updateCgroup() brings back what it wrote when a later value is refused", () => {
  const kernel = v1({ "memory/x/memory.limit_in_bytes": "4096\n", "pids/x/pids.max": "max\n" });
  let refusals = 0;
  kernel.interfere = (name, _nth, args) => {
    return name === "write" && textOf(args) === "3" && refusals++ === 0 ? "EIO" : undefined;
  };
  const resources = { memory: { limit: 1 << 20 }, pids: { limit: 3 } };
  const error = assertThrows(() => update(kernel, V1, resources), CgroupError);
  assertEquals(error.message.startsWith("linux.resources.pids.limit: cannot write 3"), true);
  assertEquals(kernel.files.get("/c/memory/x/memory.limit_in_bytes"), "4096");
  assertEquals(kernel.files.get("/c/pids/x/pids.max"), "max");
});

Deno.test("updateCgroup() tells both failures when the old values are refused, too", () => {
  const kernel = v1({ "memory/x/memory.limit_in_bytes": "4096\n", "pids/x/pids.max": "max\n" });
  kernel.interfere = (name, _nth, args) => {
    return name === "write" && textOf(args) !== "1048576" ? "EIO" : undefined;
  };
  const resources = { memory: { limit: 1 << 20 }, pids: { limit: 3 } };
  const error = assertThrows(() => update(kernel, V1, resources), CgroupError);
  assertEquals(error.message.includes("could not be brought back"), true, error.message);
  assertEquals(String(error.cause).includes("linux.resources.pids.limit"), true);
});

Deno.test("updateCgroup() leaves the other half of cpu.max as it is on v2", () => {
  const kernel = v2({ "cpu.max": "30000 50000\n" });
  update(kernel, V2, { cpu: { quota: 20000 } });
  assertEquals(kernel.files.get("/c/v2/x/cpu.max"), "20000 50000");
  update(kernel, V2, { cpu: { period: 10000 } });
  assertEquals(kernel.files.get("/c/v2/x/cpu.max"), "20000 10000");
});

Deno.test("updateCgroup() takes the present memory limit off a new swap limit on v2", () => {
  const kernel = v2({ "memory.max": "1000\n", "memory.swap.max": "max\n", "memory.low": "0\n" });
  update(kernel, V2, { memory: { swap: 3000 } });
  assertEquals(kernel.log, ["write /c/v2/x/memory.swap.max 2000"]);
  for (const swap of [999, 1]) {
    assertThrows(() => update(kernel, V2, { memory: { swap } }), ValidationError, "at least");
  }
  kernel.files.set("/c/v2/x/memory.max", "max\n");
  assertThrows(() => update(kernel, V2, { memory: { swap: 9 } }), ValidationError, "there is none");
  update(kernel, V2, { memory: { reservation: 5 } });
  assertEquals(kernel.log, ["write /c/v2/x/memory.low 5"]);
});

Deno.test("updateCgroup() writes nothing when more is in use and checkBeforeUpdate is set", () => {
  const kernel = v2({ "memory.max": "9000\n", "memory.current": "5000\n" });
  const memory = { limit: 5000, checkBeforeUpdate: true };
  const error = assertThrows(() => update(kernel, V2, { memory }), CgroupError);
  const why = "a limit of 5000 is refused: 5000 are in use";
  assertEquals(error.message, `linux.resources.memory.limit: ${why}`);
  assertEquals(kernel.log, []);
  update(kernel, V2, { memory: { ...memory, limit: 5001 } });
  assertEquals(kernel.files.get("/c/v2/x/memory.max"), "5001");
  update(kernel, V2, { memory: { limit: 10 } });
  assertEquals(kernel.files.get("/c/v2/x/memory.max"), "10");
});

Deno.test("updateCgroup() raises quota and burst in the order that the kernel takes them", () => {
  const kernel = v1({});
  for (const file of ["quota", "burst"]) {
    kernel.files.set(`/c/cpu/x/cpu.cfs_${file}_us`, file === "quota" ? "9000" : "8000");
  }
  const value = (file: string) => Number(kernel.files.get(`/c/cpu/x/cpu.cfs_${file}_us`));
  const paths = new Map<number, string>();
  kernel.interfere = (name, _nth, args) => {
    if (name === "openat") paths.set(0, String(args[1]));
    if (name !== "write") return undefined;
    const wanted = Number(textOf(args));
    const quota = paths.get(0)?.includes("quota") ? wanted : value("quota");
    const burst = paths.get(0)?.includes("burst") ? wanted : value("burst");
    return burst > quota ? "EINVAL" : undefined;
  };
  update(kernel, V1, { cpu: { quota: 20000, burst: 15000 } });
  assertEquals([value("quota"), value("burst")], [20000, 15000]);
  update(kernel, V1, { cpu: { quota: 9000, burst: 8000 } });
  assertEquals([value("quota"), value("burst")], [9000, 8000]);
});
