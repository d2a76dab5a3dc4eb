import { assertEquals, assertThrows } from "@std/assert";
import { defaultSpec } from "../../runtime/spec/default_spec.ts";
import { parseSpec, type Spec } from "../../runtime/spec/parse_spec.ts";
import { ValidationError } from "../../runtime/spec/validation_error.ts";
import type { CgroupWorld } from "../../runtime/cgroup/cgroup_mounts.ts";
import { planCgroup } from "../../runtime/cgroup/cgroup_plan.ts";
import { swapOnly, weightOfShares } from "../../runtime/cgroup/resources_v2.ts";

const V1: CgroupWorld = {
  mode: "v1",
  hierarchies: [
    { version: 1, controllers: ["cpu", "cpuacct"], mountPoint: "/c/cpu", own: "/c/cpu/own" },
    { version: 1, controllers: ["cpuset"], mountPoint: "/c/cpuset", own: "/c/cpuset" },
    { version: 1, controllers: ["memory"], mountPoint: "/c/memory", own: "/c/memory/a/b" },
    { version: 1, controllers: ["devices"], mountPoint: "/c/devices", own: "/c/devices" },
    { version: 1, controllers: ["pids"], mountPoint: "/c/pids", own: "/c/pids" },
    { version: 2, controllers: [], mountPoint: "/c/v2", own: "/c/v2/own" },
  ],
};
const V2: CgroupWorld = {
  mode: "v2",
  hierarchies: [{
    version: 2,
    controllers: ["cpu", "cpuset", "memory", "pids"],
    mountPoint: "/c/v2",
    own: "/c/v2/user.slice/session.scope",
  }],
};

function spec(resources?: object, cgroupsPath?: string): Spec {
  const config = defaultSpec() as { linux: Record<string, unknown> };
  config.linux.resources = resources;
  config.linux.cgroupsPath = cgroupsPath;
  return parseSpec(config).spec;
}

function paths(world: CgroupWorld, cgroupsPath?: string): string[] {
  return planCgroup(spec(undefined, cgroupsPath), "id", world).directories.map(({ path }) => path);
}

function written(world: CgroupWorld, resources: object): Record<"early" | "late", string[]> {
  const plan = planCgroup(spec(resources), "id", world);
  const show = (settings: typeof plan.early) =>
    settings.map(({ directory, file, value }) => `${directory}/${file}=${value}`);
  return { early: show(plan.early), late: show(plan.late) };
}

function refuses(world: CgroupWorld, resources: object, field: string, words: string): void {
  const error = assertThrows(
    () => planCgroup(spec(resources), "id", world),
    ValidationError,
    words,
  );
  assertEquals(error.field, field);
}

Deno.test("planCgroup() puts the id below belay's own cgroups when no path is given", () => {
  assertEquals(paths(V1), [
    "/c/cpu/own/id",
    "/c/cpuset/id",
    "/c/memory/a/b/id",
    "/c/devices/id",
    "/c/pids/id",
    "/c/v2/own/id",
  ]);
});

Deno.test("planCgroup() goes beside belay's own cgroup when only cgroup2 is there", () => {
  assertEquals(paths(V2), ["/c/v2/user.slice/id"]);
  assertEquals(paths(V2, "x/y"), ["/c/v2/user.slice/x/y"]);
  assertEquals(paths(V2, "/x/y"), ["/c/v2/x/y"]);
});

Deno.test("planCgroup() never leaves the hierarchy when the path climbs", () => {
  assertEquals(paths(V1, "/../../etc/../x").slice(0, 2), ["/c/cpu/x", "/c/cpuset/x"]);
  assertEquals(paths(V1, "../../x").slice(0, 2), ["/c/cpu/own/x", "/c/cpuset/x"]);
  assertEquals(paths(V2, "../../../x"), ["/c/v2/user.slice/x"]);
});

Deno.test("planCgroup() writes the v1 files that the resources ask for", () => {
  const resources = {
    memory: {
      limit: 1048576,
      swap: 2097152,
      reservation: 524288,
      swappiness: 0,
      disableOOMKiller: true,
    },
    cpu: {
      shares: 512,
      quota: 50000,
      period: 100000,
      cpus: "0-1",
      mems: "0",
      realtimeRuntime: 1000,
    },
    pids: { limit: 7 },
  };
  assertEquals(written(V1, resources), {
    early: [
      "/c/cpuset/id/cpuset.cpus=0-1",
      "/c/cpuset/id/cpuset.mems=0",
      "/c/cpu/own/id/cpu.rt_runtime_us=1000",
    ],
    late: [
      "/c/memory/a/b/id/memory.limit_in_bytes=1048576",
      "/c/memory/a/b/id/memory.memsw.limit_in_bytes=2097152",
      "/c/memory/a/b/id/memory.soft_limit_in_bytes=524288",
      "/c/memory/a/b/id/memory.oom_control=1",
      "/c/memory/a/b/id/memory.swappiness=0",
      "/c/cpu/own/id/cpu.shares=512",
      "/c/cpu/own/id/cpu.cfs_period_us=100000",
      "/c/cpu/own/id/cpu.cfs_quota_us=50000",
      "/c/pids/id/pids.max=7",
    ],
  });
});

Deno.test("planCgroup() keeps -1 on v1 and writes max for pids", () => {
  const unlimited = { memory: { limit: -1 }, cpu: { quota: -1 }, pids: { limit: -1 } };
  assertEquals(written(V1, unlimited).late, [
    "/c/memory/a/b/id/memory.limit_in_bytes=-1",
    "/c/memory/a/b/id/memory.memsw.limit_in_bytes=-1",
    "/c/cpu/own/id/cpu.cfs_quota_us=-1",
    "/c/pids/id/pids.max=max",
  ]);
});

Deno.test("planCgroup() writes the v2 files that the resources ask for", () => {
  const at = "/c/v2/user.slice/id";
  const resources = {
    memory: { limit: 1000000, swap: 3000000, reservation: 500000 },
    cpu: { shares: 1024, quota: 50000, cpus: "0" },
    pids: { limit: 0 },
  };
  assertEquals(written(V2, resources), {
    early: [`${at}/cpuset.cpus=0`],
    late: [
      `${at}/memory.swap.max=2000000`,
      `${at}/memory.max=1000000`,
      `${at}/memory.low=500000`,
      `${at}/cpu.weight=100`,
      `${at}/cpu.max=50000 100000`,
      `${at}/pids.max=1`,
    ],
  });
  assertEquals(written(V2, { memory: { limit: -1 }, cpu: { period: 20000 } }).late, [
    `${at}/memory.swap.max=max`,
    `${at}/memory.max=max`,
    `${at}/cpu.max=max 20000`,
  ]);
});

Deno.test("planCgroup() names the field when its controller is absent", () => {
  const none: CgroupWorld = { mode: "none", hierarchies: [] };
  const hybrid: CgroupWorld = { ...V1, hierarchies: V1.hierarchies.slice(0, 1) };
  const memory = { memory: { limit: 1 << 20 } };
  refuses(none, memory, "linux.resources.memory.limit", "the memory controller is not available");
  refuses(hybrid, memory, "linux.resources.memory.limit", "no cgroup v1 hierarchy");
  refuses(hybrid, { pids: { limit: 1 } }, "linux.resources.pids.limit", "pids controller");
  refuses(
    { ...V2, hierarchies: V2.hierarchies.map((each) => ({ ...each, controllers: ["hugetlb"] })) },
    { cpu: { quota: 10000 } },
    "linux.resources.cpu.quota",
    "cgroup.controllers",
  );
  refuses(
    none,
    { devices: [{ allow: false, access: "rwm" }] },
    "linux.resources.devices",
    "no cgroup hierarchy is mounted",
  );
});

Deno.test("planCgroup() refuses what cgroup v2 cannot do", () => {
  const memory = "linux.resources.memory";
  refuses(V2, { memory: { swappiness: 1 } }, `${memory}.swappiness`, "cgroup v2");
  refuses(V2, { memory: { disableOOMKiller: true } }, `${memory}.disableOOMKiller`, "cgroup v2");
  refuses(V2, { cpu: { realtimeRuntime: 5 } }, "linux.resources.cpu.realtimeRuntime", "real-time");
  refuses(V1, { cpu: { shares: 1 } }, "linux.resources.cpu.shares", "from 2 to 262144");
});

Deno.test("planCgroup() needs a cgroup only when one is asked for", () => {
  const needed = (resources?: object, path?: string) =>
    planCgroup(spec(resources, path), "id", V1).needed;
  assertEquals(needed(), undefined);
  assertEquals(needed({ devices: [{ allow: false, access: "rwm" }] }), undefined);
  assertEquals(needed({ pids: { limit: 3 } }), "linux.resources.pids.limit");
  assertEquals(needed(undefined, "/x"), "linux.cgroupsPath");
});

Deno.test("weightOfShares() meets the least, the default and the most", () => {
  const points: [bigint, bigint][] = [
    [2n, 1n],
    [3n, 2n],
    [512n, 59n],
    [1024n, 100n],
    [2048n, 174n],
    [262143n, 10000n],
    [262144n, 10000n],
  ];
  for (const [shares, weight] of points) {
    assertEquals(weightOfShares(shares), weight, `${shares} shares`);
  }
});

Deno.test("swapOnly() takes the memory off when both are limited", () => {
  assertEquals(swapOnly(300n, 100n), 200n);
  assertEquals(swapOnly(100n, 100n), 0n);
  assertEquals(swapOnly(-1n, 100n), -1n);
  assertEquals(swapOnly(undefined, 100n), undefined);
  assertEquals(swapOnly(undefined, -1n), -1n);
});
