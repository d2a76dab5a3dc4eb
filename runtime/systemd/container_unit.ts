/**
 * A container's unit in systemd, which makes its cgroup where systemd manages cgroups. Loaded for `--systemd-cgroup`,
 * and for a container that was made with it.
 *
 * @module
 */
import { DbusError } from "../../ffi/dbus/connection.ts";
import { Variant } from "../../ffi/dbus/encode.ts";
import { AT_FDCWD } from "../../ffi/abi/file_flags.ts";
import { readFile } from "../../ffi/files.ts";
import type { Kernel } from "../../ffi/kernel.ts";
import { CgroupError } from "../cgroup/cgroup_error.ts";
import type { CgroupDirectory, CgroupPlan } from "../cgroup/cgroup_plan.ts";
import { listProcesses } from "../cgroup/processes.ts";
import { modeOf } from "../cgroup/cgroup_mode.ts";
import type { LinuxResources, Spec } from "../spec/types.ts";
import { systemdBus } from "./bus_address.ts";
import { assertDelegated } from "./delegation.ts";
import { Manager } from "./manager.ts";
import type { UnitEntry, UnitState } from "./unit_entry.ts";
import { unitName } from "./unit_name.ts";
import {
  deviceProperties,
  resourceProperties,
  type UnitProperties,
  type UnitResources,
} from "./unit_properties.ts";

/** A unit that is to be made. */
export class ContainerUnit {
  private constructor(
    private readonly entry: UnitEntry,
    private readonly slice: string,
    /** The cgroup of its systemd. */
    private readonly managers: string,
    /** Where its cgroup will lie in every hierarchy, from the mount point on. */
    readonly path: string,
    private readonly version: number,
    private readonly resources: UnitResources,
  ) {}

  /** What state.json keeps. */
  get state(): UnitState {
    const { name, address, user } = this.entry;
    return { name, address, ...(user === undefined ? {} : { user }) };
  }

  /**
   * Asks systemd what belay must know to plan. Nothing is made.
   * @param rootless `--rootless`, which says whose systemd is asked.
   * @param env The environment, which says where the bus is.
   * @throws {CommandError} {ValidationError} {CgroupError} {DbusError}
   */
  static plan(
    kernel: Kernel,
    spec: Spec,
    id: string,
    rootless: "true" | "false" | "auto",
    env: (name: string) => string | undefined,
  ): ContainerUnit {
    const { address, user } = systemdBus(kernel, rootless, env);
    const { name, slice, path } = unitName(spec, id, user ? "user.slice" : "system.slice");
    using manager = Manager.open(kernel, address);
    const mark = crypto.randomUUID().slice(0, 8);
    const description = `belay container ${id} (${mark})`;
    const entry: UnitEntry = {
      ...{ kind: "unit", name, address, description },
      ...(user ? { user } : {}),
    };
    const managers = manager.controlGroup();
    const resources = spec.linux.resources ?? {};
    return new ContainerUnit(entry, slice, managers, managers + path, manager.version(), resources);
  }

  /**
   * Has systemd make the unit with a process in it, after it was journalled.
   * @throws {CgroupError} when there is such a unit already, systemd cannot make it, or put the process elsewhere.
   */
  start(
    kernel: Kernel,
    plan: CgroupPlan,
    journal: { record(entries: readonly UnitEntry[]): void },
    pid: number,
  ): void {
    const { name, address, user } = this.entry;
    if (user) assertDelegated(kernel, plan, this.managers);
    const properties = this.#properties(plan, pid);
    using manager = Manager.open(kernel, address);
    assertFree(manager, name);
    journal.record([this.entry]);
    manager.start(name, properties);
    const directory = managedDirectory(plan.directories);
    if (!listProcesses(kernel, directory.path).includes(pid)) {
      throw new CgroupError(`systemd did not put process ${pid} into ${directory.path}`);
    }
  }

  #properties(plan: CgroupPlan, pid: number): UnitProperties {
    const yes = new Variant("b", true);
    const accounting = plan.mode === "v2" ? "IOAccounting" : "BlockIOAccounting";
    return [
      ["Description", new Variant("s", this.entry.description)],
      ["Slice", new Variant("s", this.slice)],
      ["PIDs", new Variant("au", [pid])],
      ["Delegate", yes],
      ["DefaultDependencies", new Variant("b", false)],
      ["CPUAccounting", yes],
      ["MemoryAccounting", yes],
      [accounting, yes],
      ["TasksAccounting", yes],
      ...resourceProperties(this.resources, plan.mode, this.version),
      // A user's systemd may not restrict devices, and ignores them.
      ...(plan.devices === undefined || this.entry.user ? [] : deviceProperties(plan.devices.list)),
    ];
  }
}

/** A unit that failed lies about until somebody resets it: that is no obstacle, as with runc. */
function assertFree(manager: Manager, name: string): void {
  if (manager.description(name) === undefined) return;
  manager.resetFailed(name);
  const description = manager.description(name);
  if (description === undefined) return;
  throw new CgroupError(`linux.cgroupsPath: systemd has a unit ${name}: ${description}`);
}

/** Where systemd's processes are: in its own v1 hierarchy, or in cgroup2. */
function managedDirectory<D extends CgroupDirectory>(directories: readonly D[]): D {
  const found = directories.find(({ controllers }) => controllers.includes("name=systemd")) ??
    directories.find(({ version }) => version === 2);
  if (found !== undefined) return found;
  throw new CgroupError("--systemd-cgroup: no cgroup hierarchy of systemd's is mounted");
}

/**
 * Stops the units of a journal, and forgets them. One that is gone already is success; one of the same name that is
 * not the container's stays as it is. To be called when the container's processes were killed.
 * @throws {CgroupError} {DbusError}
 */
export function stopUnits(kernel: Kernel, entries: readonly UnitEntry[]): void {
  for (const { name, address, description } of entries) {
    using manager = Manager.open(kernel, address);
    if (manager.description(name) === description) manager.stop(name);
  }
}

/**
 * Has a user's systemd move a process into a container's cgroup: who is in a session's must not do that himself
 * (cgroup-v2.rst, "Delegation Containment").
 * @throws {CgroupError}
 */
export function enterUnit(kernel: Kernel, { name, address }: UnitState, pid: number): void {
  try {
    const manager = Manager.open(kernel, address);
    using _manager = manager; // build.ts: of a `using` that is named once the minifier makes none
    manager.attach(name, [pid]);
  } catch (cause) {
    if (!(cause instanceof DbusError)) throw cause;
    throw new CgroupError(`systemd does not put process ${pid} into ${name}`, { cause });
  }
}

/** Tells systemd of limits that were changed. @throws {CgroupError} {DbusError} */
export function updateUnit(
  kernel: Kernel,
  { name, address }: UnitState,
  directories: readonly CgroupDirectory[],
  resources: LinuxResources,
): void {
  using manager = Manager.open(kernel, address);
  const mode = modeOf(directories);
  const whole = completed(kernel, directories, resources);
  const properties = resourceProperties(whole, mode, manager.version());
  if (properties.length === 0) return;
  try {
    manager.setProperties(name, properties);
  } catch (cause) {
    if (!(cause instanceof DbusError)) throw cause;
    throw new CgroupError(`systemd does not take the limits of ${name}`, { cause });
  }
}

/** With what the files say of values that mean something only together, once the new ones are in them. */
function completed(
  kernel: Kernel,
  directories: readonly CgroupDirectory[],
  { memory, cpu, ...rest }: LinuxResources,
): LinuxResources {
  const read = (controller: string, file: string): string => {
    const directory = directories.find(({ controllers }) => controllers.includes(controller));
    return readFile(kernel, AT_FDCWD, `${directory?.path}/${file}`).trim();
  };
  const number = (text: string) => text === "max" ? -1n : BigInt(text);
  const unified = modeOf(directories) === "v2";
  const swapAlone = unified && memory?.swap !== undefined && memory.limit === undefined;
  const limit = swapAlone ? { limit: number(read("memory", "memory.max")) } : {};
  const bandwidth = cpu?.quota === undefined && cpu?.period === undefined ? {} : (() => {
    const [quota = "max", period = "100000"] = unified
      ? read("cpu", "cpu.max").split(" ")
      : [read("cpu", "cpu.cfs_quota_us"), read("cpu", "cpu.cfs_period_us")];
    return { quota: number(quota), period: number(period) };
  })();
  return {
    ...rest,
    ...(memory === undefined ? {} : { memory: { ...memory, ...limit } }),
    ...(cpu === undefined ? {} : { cpu: { ...cpu, ...bandwidth } }),
  };
}
