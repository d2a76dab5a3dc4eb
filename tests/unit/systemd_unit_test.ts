// What systemd is told of a container: names, limits, devices.
import { assertEquals, assertThrows } from "@std/assert";
import { Variant } from "../../ffi/dbus/encode.ts";
import { deviceList, deviceRules } from "../../runtime/cgroup/device_list.ts";
import { defaultSpec } from "../../runtime/spec/default_spec.ts";
import { parseSpec } from "../../runtime/spec/parse_spec.ts";
import type { LinuxResources, Spec } from "../../runtime/spec/types.ts";
import { ValidationError } from "../../runtime/spec/validation_error.ts";
import { parseJournal } from "../../runtime/state/journal.ts";
import { slicePath, unitName } from "../../runtime/systemd/unit_name.ts";
import {
  deviceProperties,
  resourceProperties,
  type UnitProperties,
} from "../../runtime/systemd/unit_properties.ts";
import { plan, V1 } from "./cgroup_fake_world.ts";

function spec(cgroupsPath?: string, resources: object = {}): Spec {
  const config = defaultSpec() as { linux: Record<string, unknown> };
  config.linux.cgroupsPath = cgroupsPath;
  config.linux.resources = resources;
  return parseSpec(config).spec;
}

Deno.test("unitName() reads slice:prefix:name, with runc's defaults", () => {
  const cases: [string | undefined, string, string, string][] = [
    [undefined, "belay-x.scope", "system.slice", "/system.slice/belay-x.scope"],
    [":docker:1f", "docker-1f.scope", "system.slice", "/system.slice/docker-1f.scope"],
    ["machine.slice:libpod:a", "libpod-a.scope", "machine.slice", "/machine.slice/libpod-a.scope"],
    ["a-b-c.slice:p:n", "p-n.scope", "a-b-c.slice", "/a.slice/a-b.slice/a-b-c.slice/p-n.scope"],
    ["-:p:n", "p-n.scope", "-.slice", "/p-n.scope"],
    ["-.slice::n", "n.scope", "-.slice", "/n.scope"],
  ];
  for (const [given, name, slice, path] of cases) {
    assertEquals(unitName(spec(given), "x"), { name, slice, path }, given);
  }
  assertEquals(unitName(spec(), "x", "user.slice").path, "/user.slice/belay-x.scope");
});

Deno.test("unitName() refuses what systemd would refuse, and what is no scope in a slice", () => {
  const wrong: [string, string][] = [
    ["/a/b", "must be of the form slice:prefix:name"],
    ["a:b", "must be of the form slice:prefix:name"],
    ["a.slice:b:c:d", "must be of the form slice:prefix:name"],
    ["a.slice:b:", "must be of the form slice:prefix:name"],
    ["a.slice:b:c.slice", "names a slice"],
    ["a:b:c", "no name of a systemd slice"],
    ["-a.slice:b:c", "no name of a systemd slice"],
    ["a--b.slice:b:c", "no name of a systemd slice"],
    ["a/b.slice:b:c", "no name of a systemd slice"],
    [".slice:b:c", "no name of a systemd slice"],
    ["a.slice:b:c/d", "no name of a systemd unit"],
    ["a.slice:b:c+d", "no name of a systemd unit"],
    [`a.slice:b:${"c".repeat(247)}`, "no name of a systemd unit"],
  ];
  for (const [given, words] of wrong) {
    assertThrows(() => unitName(spec(given), "x"), ValidationError, words, given);
  }
  assertEquals(slicePath("-.slice"), "");
});

function told(properties: UnitProperties): Record<string, unknown> {
  return Object.fromEntries(
    properties.map(([name, { type, value }]) => [`${name} ${type}`, value]),
  );
}

const resources = (json: object): LinuxResources => {
  const parsed = spec(undefined, json).linux.resources;
  if (parsed === undefined) throw new Error("no resources");
  return parsed;
};

Deno.test("resourceProperties() has systemd's words for cgroup v1", () => {
  const all = resources({
    memory: { limit: 1 << 20, swap: 1 << 21, reservation: 4096 },
    cpu: { shares: 512, quota: 33333, period: 100000, cpus: "0-1" },
    pids: { limit: 7 },
    blockIO: { weight: 300 },
  });
  assertEquals(told(resourceProperties(all, "v1", 252)), {
    "MemoryLimit t": 1n << 20n,
    "CPUShares t": 512n,
    "CPUQuotaPeriodUSec t": 100000n,
    "CPUQuotaPerSecUSec t": 340000n,
    "BlockIOWeight t": 300n,
    "TasksMax t": 7n,
  });
  assertEquals(resourceProperties({}, "v1", 252), []);
});

Deno.test("resourceProperties() has systemd's words for cgroup v2, as its version knows them", () => {
  const all = resources({
    memory: { limit: 1 << 20, swap: 3 << 20, reservation: 4096 },
    cpu: { shares: 1024, quota: 50000, period: 200000, cpus: "0-1,9", mems: "0" },
    pids: { limit: 0 },
  });
  const newest = {
    "MemoryMax t": 1n << 20n,
    "MemoryLow t": 4096n,
    "MemorySwapMax t": 2n << 20n,
    "CPUWeight t": 100n,
    "CPUQuotaPeriodUSec t": 200000n,
    "CPUQuotaPerSecUSec t": 250000n,
    "TasksMax t": 1n,
    "AllowedCPUs ay": new Uint8Array([3, 2]),
    "AllowedMemoryNodes ay": new Uint8Array([1]),
  };
  assertEquals(told(resourceProperties(all, "v2", 252)), newest);
  const { "AllowedCPUs ay": _cpus, "AllowedMemoryNodes ay": _mems, ...v243 } = newest;
  assertEquals(told(resourceProperties(all, "v2", 243)), v243);
  const { "CPUQuotaPeriodUSec t": _period, ...v241 } = v243;
  assertEquals(told(resourceProperties(all, "v2", 241)), v241);
});

Deno.test("resourceProperties() says infinity for -1, and for unlimited memory of its swap, too", () => {
  const none = resources({ memory: { limit: -1 }, cpu: { quota: -1 }, pids: { limit: -1 } });
  const infinity = 0xffff_ffff_ffff_ffffn;
  assertEquals(told(resourceProperties(none, "v2", 252)), {
    "MemoryMax t": infinity,
    "MemorySwapMax t": infinity,
    "CPUQuotaPerSecUSec t": infinity,
    "TasksMax t": infinity,
  });
});

Deno.test("deviceProperties() tells systemd of each device, or of none where all are allowed", () => {
  const list = (rules: object[]) => {
    const devices = resources({ devices: rules }).devices;
    return deviceProperties(deviceList(deviceRules(devices, [])));
  };
  const rules = [
    { allow: true, type: "b", major: 8, minor: 0, access: "r" },
    { allow: true, type: "b", major: 9, access: "rw" },
  ];
  const allow = told(list(rules))["DeviceAllow a(ss)"] as string[][];
  assertEquals(allow.slice(0, 3), [["/dev/block/8:0", "r"], ["block-9", "rw"], ["char-*", "m"]]);
  assertEquals(told(list(rules))["DevicePolicy s"], "strict");
  const all = deviceProperties({ allowed: true, exceptions: [] });
  assertEquals(all, [
    ["DevicePolicy", new Variant("s", "auto")],
    ["DeviceAllow", new Variant("a(ss)", [])],
  ]);
  const minor = { type: "c", major: -1, minor: 5, access: 7 } as const;
  for (const allowed of [true, false]) {
    assertThrows(
      () => deviceProperties({ allowed, exceptions: [minor] }),
      ValidationError,
      "cannot be told to systemd",
    );
  }
});

Deno.test("Cgroup.plan() puts a unit's cgroup where systemd does, in every hierarchy", () => {
  const config = spec("system.slice:p:n");
  const path = unitName(config, "x").path;
  const { directories, needed } = plan(V1, {}, "system.slice:p:n", "x", path);
  assertEquals(directories.map((each) => each.path), [
    ...V1.hierarchies.map(({ mountPoint }) => `${mountPoint}/system.slice/p-n.scope`),
  ]);
  assertEquals(needed, "--systemd-cgroup");
});

Deno.test("parseJournal() keeps units that are whole, and drops others", () => {
  const unit = { kind: "unit", name: "a.scope", address: "unix:path=/x", description: "d" };
  const lines = [unit, { ...unit, description: 1 }, { kind: "unit" }].map((e) => JSON.stringify(e));
  assertEquals(parseJournal(lines.join("\n") + "\n"), [unit as never]);
});
