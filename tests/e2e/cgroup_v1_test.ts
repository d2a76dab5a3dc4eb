// runtime/cgroup/ on the cgroups of this machine: a stub enters, its child is born inside, limits hold, and nothing
// stays behind.
import { assertEquals, assertThrows } from "@std/assert";
import type { Remote } from "../../ffi/remote.ts";
import { isSyscallError } from "../../ffi/syscall_error.ts";
import { CLONE } from "../../ffi/abi/process_flags.ts";
import { SIGNAL } from "../../ffi/abi/signals.ts";
import { CgroupError } from "../../runtime/cgroup/cgroup_error.ts";
import { readCgroupWorld } from "../../runtime/cgroup/cgroup_mounts.ts";
import { destroyCgroups } from "../../runtime/cgroup/destroy_cgroups.ts";
import { enterCalls } from "../../runtime/cgroup/enter_cgroup.ts";
import { freezerState } from "../../runtime/cgroup/freezer.ts";
import { signalCgroup } from "../../runtime/cgroup/processes.ts";
import { setFrozen } from "../../runtime/cgroup/freezer.ts";
import { host, thread } from "../ffi_world.ts";
import { notRoot, type Obstacle, testUnless } from "../skip.ts";
import { create, end, fileOf, open, withContainer } from "./cgroup_container.ts";

const world = Deno.uid() === 0 ? readCgroupWorld(thread) : undefined;

function noController(...names: string[]): Obstacle {
  const there = world?.mode === "v1" ? world.hierarchies.flatMap((each) => each.controllers) : [];
  const missing = names.filter((name) => !there.includes(name));
  return missing.length > 0 ? `cgroup v1 has no ${missing.join(", ")} here` : undefined;
}

testUnless(notRoot(), "Cgroup puts a container's first process into every hierarchy", () => {
  withContainer({ id: "belay-e2e-enter" }, (init, cgroup) => {
    const lines = Deno.readTextFileSync(`/proc/${init.pidfd.pid}/cgroup`).trim().split("\n");
    const expected = cgroup.directories.length;
    const inside = lines.filter((line) => line.endsWith("/belay-e2e-enter"));
    assertEquals(inside.length, expected, lines.join("\n"));
  });
});

testUnless(
  [notRoot(), noController("cpu", "cpuset", "memory", "pids")],
  "Cgroup.limit() puts v1 limits in force",
  () => {
    const resources = {
      memory: { limit: 64 << 20, swap: 96 << 20, reservation: 32 << 20, swappiness: 10 },
      cpu: { shares: 512, quota: 50000, period: 200000, cpus: "0" },
      pids: { limit: 3 },
    };
    withContainer({ id: "belay-e2e-limits", resources }, (init, cgroup) => {
      assertEquals(fileOf(cgroup, "memory", "memory.limit_in_bytes"), String(64 << 20));
      assertEquals(fileOf(cgroup, "memory", "memory.memsw.limit_in_bytes"), String(96 << 20));
      assertEquals(fileOf(cgroup, "memory", "memory.soft_limit_in_bytes"), String(32 << 20));
      assertEquals(fileOf(cgroup, "memory", "memory.swappiness"), "10");
      assertEquals(fileOf(cgroup, "cpu", "cpu.shares"), "512");
      assertEquals(fileOf(cgroup, "cpu", "cpu.cfs_period_us"), "200000");
      assertEquals(fileOf(cgroup, "cpu", "cpu.cfs_quota_us"), "50000");
      assertEquals(fileOf(cgroup, "cpuset", "cpuset.cpus"), "0");
      assertEquals(fileOf(cgroup, "pids", "pids.max"), "3");
      // The limit counts the container alone: two more fit, a third does not.
      const children: Remote[] = [];
      try {
        const error = assertThrows(() => {
          for (let i = 0; i < 3; i++) {
            children.push(init.clone(`child${i}`, { flags: CLONE.CLONE_PARENT }));
          }
        });
        assertEquals(isSyscallError(error, "EAGAIN"), true, String(error));
        assertEquals(children.length, 2);
      } finally {
        for (const child of children) end(child);
      }
    });
  },
);

testUnless(
  [notRoot(), noController("memory")],
  "Cgroup.limit() refuses a limit below what is in use",
  () => {
    const error = assertThrows(
      () =>
        withContainer({ id: "belay-e2e-small", resources: { memory: { limit: 4096 } } }, () => {}),
      CgroupError,
      "linux.resources.memory.limit: cannot write 4096",
    );
    assertEquals(isSyscallError(error.cause), true);
  },
);

testUnless(
  [notRoot(), noController("devices")],
  "Cgroup.limit() closes devices that no rule opens",
  () => {
    const deny = { devices: [{ allow: false, access: "rwm" }] };
    withContainer({ id: "belay-e2e-devices", resources: deny }, (init) => {
      open(init, "/dev/null");
      open(init, "/dev/ptmx");
      const error = assertThrows(() => open(init, "/dev/kmsg"));
      assertEquals(isSyscallError(error, "EPERM"), true, String(error));
    });
    const privileged = { devices: [{ allow: true, access: "rwm" }] };
    withContainer(
      { id: "belay-e2e-devices", resources: privileged },
      (init) => open(init, "/dev/kmsg"),
    );
  },
);

testUnless(notRoot(), "Cgroup removes the parents that it made, and keeps those in use", () => {
  withContainer({ id: "1", cgroupsPath: "/belay-e2e-parent/one" }, (_, first) => {
    withContainer({ id: "2", cgroupsPath: "/belay-e2e-parent/two" }, () => {});
    for (const { path } of first.directories) Deno.statSync(path);
  });
});

testUnless(notRoot(), "Cgroup.create() refuses a cgroup that another container is in", () => {
  withContainer({ id: "belay-e2e-taken" }, (init) => {
    assertThrows(
      () => create({ id: "belay-e2e-taken" }),
      CgroupError,
      `in use by process ${init.pidfd.pid}`,
    );
    assertEquals(init.pidfd.alive(), true);
  });
});

testUnless(
  [notRoot(), noController("freezer")],
  "signalCgroup() ends a frozen container with its sub-cgroups",
  () => {
    withContainer({ id: "belay-e2e-frozen" }, (init, cgroup) => {
      const child = init.clone("child", { flags: CLONE.CLONE_PARENT });
      try {
        // What a container with a service manager does: cgroups of its own.
        for (const { path, version } of cgroup.directories) {
          if (path.includes("/cpuset/")) continue;
          Deno.mkdirSync(`${path}/service`);
          const file = version === 1 ? "tasks" : "cgroup.procs";
          Deno.writeTextFileSync(`${path}/service/${file}`, String(child.pidfd.pid));
        }
        assertEquals(freezerState(thread, cgroup.directories), "thawed");
        assertEquals(setFrozen(thread, cgroup.directories, true), true);
        assertEquals(freezerState(thread, cgroup.directories), "frozen");
        assertEquals(signalCgroup(thread, cgroup.directories, SIGNAL.SIGKILL), 2);
        assertEquals(child.pidfd.waitSync(2000), true);
        assertEquals(init.pidfd.waitSync(2000), true);
      } finally {
        end(child);
      }
    });
  },
);

testUnless(notRoot(), "signalCgroup() reaches every process with any signal", () => {
  withContainer({ id: "belay-e2e-signal" }, (init, cgroup) => {
    const children = [1, 2, 3].map((n) => init.clone(`child${n}`, { flags: CLONE.CLONE_PARENT }));
    assertEquals(signalCgroup(thread, cgroup.directories, SIGNAL.SIGTERM), 4);
    for (const child of [init, ...children]) assertEquals(child.pidfd.waitSync(2000), true);
    for (const child of children) {
      assertEquals(child.pidfd.reap().signal, SIGNAL.SIGTERM);
      child[Symbol.dispose]();
      child.pidfd[Symbol.dispose]();
    }
    assertEquals(signalCgroup(thread, cgroup.directories, SIGNAL.SIGTERM), 0);
  });
});

testUnless(notRoot(), "destroyCgroups() names the processes that hold a cgroup", () => {
  const { cgroup, entries } = create({ id: "belay-e2e-held" });
  const stub = host.spawn("test");
  try {
    stub.batch(enterCalls(cgroup.directories).slice(0, 3));
    assertThrows(
      () => destroyCgroups(thread, entries, 20),
      CgroupError,
      `it still has process ${stub.pidfd.pid}`,
    );
  } finally {
    end(stub);
    destroyCgroups(thread, entries);
  }
});
