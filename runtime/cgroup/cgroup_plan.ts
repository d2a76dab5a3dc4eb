import type { LinuxResources, Spec } from "../spec/types.ts";
import { cleanCgroupsPath } from "../spec/cgroups_path.ts";
import { ValidationError } from "../spec/validation_error.ts";
import type { CgroupWorld, Hierarchy } from "./cgroup_mounts.ts";
import { type DeviceList, deviceList, deviceRules } from "./device_list.ts";
import { settingsV1 } from "./resources_v1.ts";
import { settingsV2 } from "./resources_v2.ts";
import type { PlacedSetting, Setting } from "./setting.ts";

/** The files of cgroup v2 that belong to no controller. */
const CORE = "cgroup";

/** A container's directory in one hierarchy, as state.json keeps it. */
export interface CgroupDirectory {
  readonly version: 1 | 2;
  /** The controllers of the hierarchy; empty for cgroup2 beside v1. */
  readonly controllers: readonly string[];
  /** Absolute, strictly below the hierarchy's mount point. */
  readonly path: string;
}

/** The same, as long as it has to be made. */
export interface PlannedDirectory extends CgroupDirectory {
  readonly mountPoint: string;
  /** The directory that `path` starts from, which is there. */
  readonly base: string;
  /** belay's own, where a container stays that can do without one. */
  readonly own: string;
}

/** What is to be made and written for one container. Nothing in it depends on what is there already. */
export interface CgroupPlan {
  readonly mode: CgroupWorld["mode"];
  readonly directories: readonly PlannedDirectory[];
  /** What decides whether a process may enter: written before one does. */
  readonly early: readonly PlacedSetting[];
  /** What limits the processes. */
  readonly late: readonly PlacedSetting[];
  /** Where the device list goes, and the list; undefined where no controller can enforce it and none was asked for. */
  readonly devices: { readonly directory: CgroupDirectory; readonly list: DeviceList } | undefined;
  /**
   * The field that asks for a cgroup, if any does. Without one a container may go without a cgroup where belay may
   * not make any: rootless, or with /sys/fs/cgroup mounted read-only.
   */
  readonly needed: string | undefined;
}

/**
 * The cgroup of a container: where it lies and what it is told.
 *
 * An absolute `linux.cgroupsPath` starts at the hierarchy's mount point, a relative one at belay's own cgroup (on
 * v2 at that one's parent, because a cgroup that has processes cannot give controllers to its children); the
 * default is the container's id. All of that as with runc. The path is cleaned: no `..` leads above its start.
 *
 * @param unitPath Where systemd will make it, from the mount point on; then `linux.cgroupsPath` is no path.
 * @throws {ValidationError} for a path that names no cgroup, or limits that this machine cannot enforce.
 */
export function planCgroup(
  spec: Spec,
  id: string,
  world: CgroupWorld,
  unitPath?: string,
): CgroupPlan {
  const { resources, cgroupsPath } = spec.linux;
  const path = cleanCgroupsPath(unitPath ?? cgroupsPath ?? id, "linux.cgroupsPath");
  const absolute = path.startsWith("/");
  const directories = world.hierarchies.map((hierarchy): PlannedDirectory => {
    const { version, controllers, mountPoint, own } = hierarchy;
    const base = absolute ? mountPoint : start(hierarchy, world.mode);
    const whole = `${base}${absolute ? "" : "/"}${path}`;
    return { version, controllers, mountPoint, base, own, path: whole };
  });
  const settings = settingsOf(resources, world.mode);
  const asked = [...settings.early, ...settings.late];
  return {
    mode: world.mode,
    directories,
    early: settings.early.map((setting) => placed(setting, directories, world.mode)),
    late: settings.late.map((setting) => placed(setting, directories, world.mode)),
    devices: devicesOf(spec, directories, world.mode),
    needed: unitPath !== undefined
      ? "--systemd-cgroup"
      : cgroupsPath !== undefined
      ? "linux.cgroupsPath"
      : asked[0]?.field,
  };
}

function start({ own, mountPoint }: Hierarchy, mode: CgroupWorld["mode"]): string {
  if (mode !== "v2" || own === mountPoint) return own;
  return own.slice(0, own.lastIndexOf("/"));
}

function settingsOf(resources: LinuxResources | undefined, mode: CgroupWorld["mode"]) {
  if (resources === undefined) return { early: [], late: [] };
  return mode === "v2" ? settingsV2(resources) : settingsV1(resources);
}

/** The setting with the directory of its controller. @throws {ValidationError} where there is none. */
export function placed(
  setting: Setting,
  directories: readonly CgroupDirectory[],
  mode: CgroupWorld["mode"],
): PlacedSetting {
  const { controller, field } = setting;
  const directory = directories.find(({ version, controllers }) =>
    controller === CORE ? version === 2 : controllers.includes(controller)
  );
  if (directory !== undefined) return { ...setting, directory: directory.path };
  const where = mode === "none"
    ? "no cgroup hierarchy is mounted"
    : mode === "v2"
    ? "cgroup.controllers of the cgroup2 mount does not list it"
    : "no cgroup v1 hierarchy that is mounted has it";
  throw new ValidationError(field, `the ${controller} controller is not available: ${where}`);
}

/** v1 has a controller for devices; on v2 every cgroup can have a program. */
function devicesOf(
  { linux }: Spec,
  directories: readonly CgroupDirectory[],
  mode: CgroupWorld["mode"],
): CgroupPlan["devices"] {
  const asked = linux.resources?.devices ?? [];
  const list = deviceList(deviceRules(asked, linux.devices));
  const directory = directories.find(({ version, controllers }) =>
    mode === "v2" ? version === 2 : controllers.includes("devices")
  );
  if (directory !== undefined) return { directory, list };
  if (asked.length === 0) return undefined;
  throw new ValidationError(
    "linux.resources.devices",
    `the devices controller is not available: ${
      mode === "none"
        ? "no cgroup hierarchy is mounted"
        : "no cgroup v1 hierarchy that is mounted has it"
    }`,
  );
}
