// cgroup v2 as far as every machine with a cgroup2 mount has it: device programs need no controller.
import { assertEquals, assertThrows } from "@std/assert";
import type { Remote } from "../../ffi/remote.ts";
import { isSyscallError } from "../../ffi/syscall_error.ts";
import { CLONE } from "../../ffi/abi/process_flags.ts";
import { AT_FDCWD, O, S_IF } from "../../ffi/abi/file_flags.ts";
import { SIGNAL } from "../../ffi/abi/signals.ts";
import { makedev, mknodat, unlinkat } from "../../ffi/syscalls/file.ts";
import type { Cgroup } from "../../runtime/cgroup/cgroup.ts";
import { type CgroupWorld, readCgroupWorld } from "../../runtime/cgroup/cgroup_mounts.ts";
import { freezerState } from "../../runtime/cgroup/freezer.ts";
import { signalCgroup } from "../../runtime/cgroup/processes.ts";
import { setFrozen } from "../../runtime/cgroup/freezer.ts";
import { thread } from "../ffi_world.ts";
import { notRoot, type Obstacle, testUnless } from "../skip.ts";
import { end, fileOf, open, withContainer } from "./cgroup_container.ts";

const unified = Deno.uid() === 0
  ? readCgroupWorld(thread).hierarchies.find(({ version }) => version === 2)
  : undefined;
/** The controllers of a machine that has cgroup2 alone. */
function noController(...names: string[]): Obstacle {
  const world = Deno.uid() === 0 ? readCgroupWorld(thread) : undefined;
  if (world?.mode !== "v2") {
    return "cgroup2 is not alone here (user-mode-linux is one way to have that)";
  }
  const missing = names.filter((name) => !world.hierarchies[0]?.controllers.includes(name));
  return missing.length > 0 ? `cgroup2 has no ${missing.join(", ")} here` : undefined;
}

const obstacles = [notRoot(), unified === undefined ? "no cgroup2 is mounted" : undefined];

/** The machine as if it had cgroup2 alone, with a container that has device rules. */
function withDevices(devices: object[], use: (init: Remote, cgroup: Cgroup) => void): void {
  if (unified === undefined) throw new Error("no cgroup2 is mounted");
  const hierarchy = { ...unified, controllers: [], own: unified.mountPoint };
  const world: CgroupWorld = { mode: "v2", hierarchies: [hierarchy] };
  withContainer({ id: "belay-e2e-v2", resources: { devices }, world }, use);
}

function refused(init: Remote, path: string, flags?: number): void {
  const error = assertThrows(() => open(init, path, flags));
  assertEquals(isSyscallError(error, "EPERM"), true, String(error));
}

testUnless(obstacles, "a device program closes what no rule opens", () => {
  withDevices([{ allow: false, access: "rwm" }], (init) => {
    open(init, "/dev/null");
    open(init, "/dev/urandom");
    refused(init, "/dev/kmsg");
    refused(init, "/dev/kmsg", O.O_RDONLY);
    // Any node may be made, and be of no use.
    const node = `/tmp/belay-e2e-bpf-${Deno.pid}`;
    init.call(mknodat(AT_FDCWD, node, S_IF.S_IFCHR | 0o600, makedev(1, 11)));
    refused(init, node);
    init.call(unlinkat(AT_FDCWD, node));
  });
});

testUnless(obstacles, "a device program lets a rule open a device for reading alone", () => {
  const kmsg = { allow: true, type: "c", major: 1, minor: 11, access: "r" };
  withDevices([{ allow: false, access: "rwm" }, kmsg], (init) => {
    open(init, "/dev/kmsg", O.O_RDONLY);
    refused(init, "/dev/kmsg", O.O_WRONLY);
    refused(init, "/dev/kmsg", O.O_RDWR);
  });
});

testUnless(obstacles, "a device program that forbids writing forbids reading and writing", () => {
  const kmsg = { allow: false, type: "c", major: 1, minor: 11, access: "w" };
  withDevices([{ allow: true, access: "rwm" }, kmsg], (init) => {
    open(init, "/dev/kmsg", O.O_RDONLY);
    refused(init, "/dev/kmsg", O.O_WRONLY);
    refused(init, "/dev/kmsg", O.O_RDWR);
    open(init, "/dev/full");
  });
});

testUnless(obstacles, "signalCgroup() freezes and kills on cgroup2", () => {
  withDevices([], (init, cgroup) => {
    const child = init.clone("child", { flags: CLONE.CLONE_PARENT });
    try {
      assertEquals(freezerState(thread, cgroup.directories), "thawed");
      assertEquals(setFrozen(thread, cgroup.directories, true), true);
      assertEquals(freezerState(thread, cgroup.directories), "frozen");
      assertEquals(signalCgroup(thread, cgroup.directories, SIGNAL.SIGKILL), 2);
      assertEquals(init.pidfd.waitSync(2000), true);
      assertEquals(child.pidfd.waitSync(2000), true);
    } finally {
      end(child);
    }
  });
});

testUnless(
  [notRoot(), noController("cpu", "memory", "pids")],
  "Cgroup.limit() puts v2 limits in force",
  () => {
    const resources = {
      memory: { limit: 64 << 20, swap: 64 << 20, reservation: 32 << 20 },
      cpu: { shares: 2048, quota: 50000, period: 200000 },
      pids: { limit: 3 },
    };
    const cgroupsPath = "/belay-e2e-parent/limits";
    withContainer({ id: "belay-e2e-limits", resources, cgroupsPath }, (init, cgroup) => {
      assertEquals(fileOf(cgroup, "memory", "memory.max"), String(64 << 20));
      assertEquals(fileOf(cgroup, "memory", "memory.low"), String(32 << 20));
      assertEquals(fileOf(cgroup, "cpu", "cpu.weight"), "174");
      assertEquals(fileOf(cgroup, "cpu", "cpu.max"), "50000 200000");
      assertEquals(fileOf(cgroup, "pids", "pids.max"), "3");
      const children: Remote[] = [];
      try {
        const error = assertThrows(() => {
          for (let n = 1; n <= 3; n++) {
            children.push(init.clone(`child${n}`, { flags: CLONE.CLONE_PARENT }));
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
