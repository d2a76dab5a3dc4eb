// The controllers beside memory, cpu and pids, on machines that have them all: what would be written where.
import { assertEquals, assertThrows } from "@std/assert";
import { defaultSpec } from "../../runtime/spec/default_spec.ts";
import { parseSpec } from "../../runtime/spec/parse_spec.ts";
import { ValidationError } from "../../runtime/spec/validation_error.ts";
import type { CgroupWorld } from "../../runtime/cgroup/cgroup_mounts.ts";
import { planCgroup } from "../../runtime/cgroup/cgroup_plan.ts";
import { ioWeight } from "../../runtime/cgroup/block_io.ts";

const NAMES = ["cpu", "memory", "blkio", "hugetlb", "net_cls", "net_prio", "rdma"];
const V1: CgroupWorld = {
  mode: "v1",
  hierarchies: NAMES.map((name) => ({
    ...{ version: 1 as const, controllers: [name], mountPoint: `/c/${name}`, own: `/c/${name}` },
  })),
};
const V2: CgroupWorld = {
  mode: "v2",
  hierarchies: [{
    version: 2,
    controllers: ["cpu", "memory", "io", "hugetlb", "rdma"],
    mountPoint: "/c",
    own: "/c",
  }],
};

function written(world: CgroupWorld, resources: object): string[] {
  const config = defaultSpec() as { linux: Record<string, unknown> };
  config.linux.resources = resources;
  const { early, late } = planCgroup(parseSpec(config).spec, "id", world);
  return [...early, ...late].map(({ directory, file, value, otherwise }) =>
    `${directory}/${file}=${value}` +
    (otherwise === undefined ? "" : ` or ${otherwise.file}=${otherwise.value}`)
  );
}

function refused(world: CgroupWorld, resources: object): string {
  return assertThrows(() => written(world, resources), ValidationError).message;
}

const BLOCK_IO = {
  weight: 500,
  weightDevice: [{ major: 8, minor: 0, weight: 100 }, { major: 8, minor: 16 }],
  throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 1048576 }],
  throttleWriteBpsDevice: [{ major: 8, minor: 0, rate: 0 }],
  throttleReadIOPSDevice: [{ major: 8, minor: 16, rate: 100 }],
  throttleWriteIOPSDevice: [{ major: 8, minor: 16, rate: 200 }],
};

Deno.test("planCgroup() writes weights and throttles of block I/O on v1", () => {
  const leaf = { leafWeight: 10, weightDevice: [{ major: 8, minor: 0, leafWeight: 20 }] };
  assertEquals(written(V1, { blockIO: BLOCK_IO }), [
    "/c/blkio/id/blkio.weight=500 or blkio.bfq.weight=500",
    "/c/blkio/id/blkio.weight_device=8:0 100 or blkio.bfq.weight_device=8:0 100",
    "/c/blkio/id/blkio.throttle.read_bps_device=8:0 1048576",
    "/c/blkio/id/blkio.throttle.write_bps_device=8:0 0",
    "/c/blkio/id/blkio.throttle.read_iops_device=8:16 100",
    "/c/blkio/id/blkio.throttle.write_iops_device=8:16 200",
  ]);
  assertEquals(written(V1, { blockIO: leaf }), [
    "/c/blkio/id/blkio.leaf_weight=10",
    "/c/blkio/id/blkio.leaf_weight_device=8:0 20",
  ]);
});

Deno.test("planCgroup() writes weights and throttles of block I/O on v2", () => {
  assertEquals(written(V2, { blockIO: BLOCK_IO }), [
    "/c/id/io.bfq.weight=default 500 or io.weight=default 4950",
    "/c/id/io.bfq.weight=8:0 100 or io.weight=8:0 910",
    "/c/id/io.max=8:0 rbps=1048576",
    "/c/id/io.max=8:0 wbps=max",
    "/c/id/io.max=8:16 riops=100",
    "/c/id/io.max=8:16 wiops=200",
  ]);
  assertEquals([10, 100, 1000].map(ioWeight), [1, 910, 10000]);
});

Deno.test("planCgroup() writes limits of huge pages and of what is reserved of them", () => {
  const hugepageLimits = [{ pageSize: "2MB", limit: 4194304 }];
  assertEquals(written(V1, { hugepageLimits }), [
    "/c/hugetlb/id/hugetlb.2MB.limit_in_bytes=4194304",
    "/c/hugetlb/id/hugetlb.2MB.rsvd.limit_in_bytes=4194304",
  ]);
  assertEquals(written(V2, { hugepageLimits }), [
    "/c/id/hugetlb.2MB.max=4194304",
    "/c/id/hugetlb.2MB.rsvd.max=4194304",
  ]);
});

Deno.test("planCgroup() writes what a container may use of RDMA devices", () => {
  const rdma = { mlx5_0: { hcaHandles: 2, hcaObjects: 2000 }, mlx4_0: { hcaObjects: 0 } };
  const lines = ["mlx5_0 hca_handle=2 hca_object=2000", "mlx4_0 hca_object=0"];
  assertEquals(written(V1, { rdma }), lines.map((line) => `/c/rdma/id/rdma.max=${line}`));
  assertEquals(written(V2, { rdma }), lines.map((line) => `/c/id/rdma.max=${line}`));
});

Deno.test("planCgroup() writes network classes and priorities on v1", () => {
  const network = { classID: 1048577, priorities: [{ name: "eth0", priority: 5 }] };
  assertEquals(written(V1, { network }), [
    "/c/net_cls/id/net_cls.classid=1048577",
    "/c/net_prio/id/net_prio.ifpriomap=eth0 5",
  ]);
});

Deno.test("planCgroup() writes bursts after the quota, and idle where the weight is allowed", () => {
  const cpu = { shares: 512, quota: 50000, burst: 20000, idle: 1 };
  assertEquals(written(V1, { cpu }), [
    "/c/cpu/id/cpu.shares=512",
    "/c/cpu/id/cpu.idle=1",
    "/c/cpu/id/cpu.cfs_quota_us=50000",
    "/c/cpu/id/cpu.cfs_burst_us=20000",
  ]);
  assertEquals(written(V2, { cpu: { ...cpu, idle: 0 } }), [
    "/c/id/cpu.idle=0",
    "/c/id/cpu.weight=59",
    "/c/id/cpu.max=50000 100000",
    "/c/id/cpu.max.burst=20000",
  ]);
});

Deno.test("planCgroup() writes unified files of v2 after all others", () => {
  const resources = {
    unified: { "memory.high": "1000000", "cgroup.max.depth": "2" },
    memory: { limit: 2000000 },
  };
  assertEquals(written(V2, resources), [
    "/c/id/memory.max=2000000",
    "/c/id/memory.high=1000000",
    "/c/id/cgroup.max.depth=2",
  ]);
});

Deno.test("planCgroup() refuses what the other version of cgroups has", () => {
  const R = "linux.resources";
  const cases: [CgroupWorld, object, string][] = [
    [
      V1,
      { unified: { "memory.high": "1" } },
      `${R}.unified["memory.high"]: is for cgroup v2, and this machine has cgroup v1`,
    ],
    [
      V2,
      { network: { classID: 1 } },
      `${R}.network.classID: cgroup v2 has no network classes and priorities`,
    ],
    [
      V2,
      { network: { priorities: [{ name: "lo", priority: 1 }] } },
      `${R}.network.priorities: cgroup v2 has no network classes and priorities`,
    ],
    [
      V2,
      { blockIO: { leafWeight: 10 } },
      `${R}.blockIO.leafWeight: cgroup v2 has no leaf weights`,
    ],
    [
      V2,
      { blockIO: { weightDevice: [{ major: 1, minor: 1, leafWeight: 10 }] } },
      `${R}.blockIO.weightDevice[0].leafWeight: cgroup v2 has no leaf weights`,
    ],
    [
      V2,
      { unified: { "pids.max": "1" } },
      `${R}.unified["pids.max"]: the pids controller is not available: ` +
      "cgroup.controllers of the cgroup2 mount does not list it",
    ],
  ];
  for (const [world, resources, message] of cases) {
    assertEquals(refused(world, resources), message);
  }
  assertEquals(written(V2, { network: {} }), []);
});

Deno.test("parseSpec() refuses files, sizes, weights and names that the kernel would not take", () => {
  const cases: [object, string][] = [
    [{ unified: { "cgroup.procs": "1" } }, "is no limit"],
    [{ unified: { "../memory.max": "1" } }, "must be a file of a cgroup"],
    [{ unified: { "memory": "1" } }, "must be a file of a cgroup"],
    [{ unified: { "memory.max": 5 } }, "must be a string"],
    [{ hugepageLimits: [{ pageSize: "2mb", limit: 1 }] }, `must be a size like "2MB"`],
    [{ hugepageLimits: [{ pageSize: "2MB" }] }, "is required"],
    [{ blockIO: { weight: 5 } }, "from 10 to 1000"],
    [{ blockIO: { throttleReadBpsDevice: [{ major: 8, rate: 1 }] } }, "minor: is required"],
    [{ rdma: { mlx: {} } }, "must have hcaHandles or hcaObjects"],
    [{ rdma: { "a b": { hcaHandles: 1 } } }, "must be a name without spaces"],
    [{ network: { priorities: [{ name: "a\nb", priority: 1 }] } }, "must be a name without spaces"],
    [{ cpu: { idle: 2 } }, "from 0 to 1"],
  ];
  for (const [resources, words] of cases) {
    assertEquals(refused(V2, resources).includes(words), true, refused(V2, resources));
  }
});
