// Machines for tests of runtime/cgroup/: what they have, and their kernels.
import { Cgroup } from "../../runtime/cgroup/cgroup.ts";
import type { CgroupWorld } from "../../runtime/cgroup/cgroup_mounts.ts";
import type { CgroupPlan } from "../../runtime/cgroup/cgroup_plan.ts";
import type { CgroupEntry } from "../../runtime/cgroup/destroy_cgroups.ts";
import { defaultSpec } from "../../runtime/spec/default_spec.ts";
import { parseSpec } from "../../runtime/spec/parse_spec.ts";
import { FakeKernel } from "./cgroup_fake_kernel.ts";

/** The v1 controllers of the fake machine. */
export const NAMES = ["cpu", "cpuset", "memory", "devices", "freezer", "pids"];
/** They and cgroup2. */
export const V1: CgroupWorld = {
  mode: "v1",
  hierarchies: [
    ...NAMES.map((name) => ({
      version: 1 as const,
      controllers: [name],
      mountPoint: `/c/${name}`,
      own: `/c/${name}`,
    })),
    { version: 2, controllers: [], mountPoint: "/c/v2", own: "/c/v2" },
  ],
};
/** A machine with cgroup2 alone. */
export const V2: CgroupWorld = {
  mode: "v2",
  hierarchies: [{
    version: 2,
    controllers: ["cpu", "memory", "pids"],
    mountPoint: "/c/v2",
    own: "/c/v2",
  }],
};
/** Something to limit. */
export const LIMITS = { memory: { limit: 1 << 20 }, pids: { limit: 5 } };

/** The kernel of V1. */
export function fakeV1(): FakeKernel {
  const kernel = new FakeKernel();
  for (const name of NAMES) {
    const cpuset = { "cpuset.cpus": "0-1\n", "cpuset.mems": "0\n" };
    kernel.mount(`/c/${name}`, name === "cpuset" ? cpuset : {});
  }
  kernel.files.set("/proc/self/uid_map", "0 0 4294967295\n");
  return kernel.mount("/c/v2");
}

/** The kernel of V2. */
export function fakeV2(): FakeKernel {
  const kernel = new FakeKernel();
  kernel.files.set("/proc/self/uid_map", "0 0 4294967295\n");
  return kernel.mount("/c/v2", { "cgroup.controllers": "cpu memory pids" });
}

/** A container's plan. */
export function plan(
  world: CgroupWorld,
  resources?: object,
  cgroupsPath?: string,
  id = "x",
  unitPath?: string,
): CgroupPlan {
  const config = defaultSpec() as { linux: Record<string, unknown> };
  config.linux.resources = resources;
  config.linux.cgroupsPath = cgroupsPath;
  return Cgroup.plan(parseSpec(config).spec, id, world, unitPath);
}

/** Keeps the entries, and tells the kernel's log when. */
export class Journal {
  readonly entries: CgroupEntry[] = [];
  constructor(private readonly kernel: FakeKernel) {}
  record(entries: readonly CgroupEntry[]): void {
    this.kernel.log.push(`journal ${entries.length}`);
    this.entries.push(...entries);
  }
}
