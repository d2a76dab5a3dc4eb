/**
 * Which cgroup hierarchies this machine has, where they are mounted, and where belay itself is in them.
 *
 * @module
 */
import type { Kernel } from "../../ffi/kernel.ts";
import { AT_FDCWD } from "../../ffi/abi/file_flags.ts";
import { readFile } from "../../ffi/files.ts";
import { isReachable, type MountinfoEntry, parseMountinfo } from "./mountinfo.ts";

/** One mounted hierarchy. */
export interface Hierarchy {
  readonly version: 1 | 2;
  /**
   * v1: those mounted together, such as `["cpu", "cpuacct"]` or `["name=systemd"]`. v2: what `cgroup.controllers`
   * of the mount offers; empty beside v1 hierarchies, where belay uses cgroup2 for its processes alone.
   */
  readonly controllers: readonly string[];
  readonly mountPoint: string;
  /** The directory of belay's own cgroup, at or below the mount point. */
  readonly own: string;
}

/** All of them. `v1` includes the hybrid mode, in which cgroup2 is mounted beside v1 controllers. */
export interface CgroupWorld {
  readonly mode: "v1" | "v2" | "none";
  readonly hierarchies: readonly Hierarchy[];
}

/** One line of /proc/PID/cgroup (cgroups(7)); without controllers it is that of cgroup2. */
export interface Membership {
  readonly controllers: readonly string[];
  readonly path: string;
}

/** The v1 hierarchies that containers join: those that runc joins, so that clients find what they read. */
const JOINED: ReadonlySet<string> = new Set([
  "cpuset",
  "devices",
  "memory",
  "cpu",
  "cpuacct",
  "pids",
  "blkio",
  "hugetlb",
  "net_cls",
  "net_prio",
  "perf_event",
  "freezer",
  "rdma",
  "misc",
  "name=systemd",
]);

/** Reads /proc/PID/cgroup. Lines that are not in its format are left out. */
export function parseProcCgroup(text: string): Membership[] {
  return text.split("\n").flatMap((line) => {
    const [id, names, ...rest] = line.split(":");
    const path = rest.join(":");
    if (id === undefined || names === undefined || !path.startsWith("/")) return [];
    return [{ controllers: names === "" ? [] : names.split(","), path }];
  });
}

/**
 * The hierarchies, from the texts of /proc/self/mountinfo and /proc/self/cgroup.
 * @param offered The controllers of a cgroup2 mount; asked only when there are no v1 controllers.
 */
export function cgroupWorld(
  mountinfo: string,
  memberships: string,
  offered: (mountPoint: string) => readonly string[],
): CgroupWorld {
  const all = parseMountinfo(mountinfo);
  const mounts = all.filter((mount) => mount.type === "cgroup" || mount.type === "cgroup2")
    .filter((mount) => isReachable(mount, all))
    .sort((a, b) => rank(a) - rank(b));
  const members = parseProcCgroup(memberships);
  const v1: Hierarchy[] = [];
  for (const mount of mounts) {
    if (mount.type !== "cgroup") continue;
    const controllers = mount.superOptions.filter((option) => JOINED.has(option));
    const [first] = controllers;
    if (first === undefined || v1.some((known) => known.controllers.includes(first))) continue;
    const own = members.find((member) => member.controllers.includes(first));
    v1.push(hierarchy(1, controllers, mount, own));
  }
  const legacy = v1.some(({ controllers }) => controllers[0] !== "name=systemd");
  const unified = mounts.find((mount) => mount.type === "cgroup2");
  if (unified === undefined) return { mode: v1.length > 0 ? "v1" : "none", hierarchies: v1 };
  const own = members.find((member) => member.controllers.length === 0);
  const controllers = legacy ? [] : offered(unified.mountPoint);
  const v2 = hierarchy(2, controllers, unified, own);
  return legacy ? { mode: "v1", hierarchies: [...v1, v2] } : { mode: "v2", hierarchies: [v2] };
}

/** The hierarchies of this machine. @throws SyscallError */
export function readCgroupWorld(kernel: Kernel): CgroupWorld {
  return cgroupWorld(
    readFile(kernel, AT_FDCWD, "/proc/self/mountinfo"),
    readFile(kernel, AT_FDCWD, "/proc/self/cgroup"),
    (mountPoint) => readControllers(kernel, mountPoint),
  );
}

/** What a cgroup2 directory offers (cgroup-v2.rst, cgroup.controllers). @throws SyscallError */
export function readControllers(kernel: Kernel, directory: string): string[] {
  return readFile(kernel, AT_FDCWD, `${directory}/cgroup.controllers`).split(/\s+/)
    .filter((name) => name !== "");
}

/** Of several mounts of one hierarchy, that at the usual place, and of those the one of the whole hierarchy. */
function rank({ mountPoint, root }: MountinfoEntry): number {
  const usual = mountPoint === "/sys/fs/cgroup" || mountPoint.startsWith("/sys/fs/cgroup/");
  return (usual ? 0 : 2) + (root === "/" ? 0 : 1);
}

function hierarchy(
  version: 1 | 2,
  controllers: readonly string[],
  { mountPoint, root }: MountinfoEntry,
  own: Membership | undefined,
): Hierarchy {
  const inside = own === undefined ? "" : below(root, own.path);
  return { version, controllers, mountPoint, own: `${mountPoint}${inside}` };
}

/**
 * The path from a mount's root on, `""` for the root itself. In a container without a cgroup namespace both are
 * paths of the host. A path that leads elsewhere (`/../x`: outside of our cgroup namespace) cannot be reached
 * through this mount: the mount point has to do.
 */
function below(root: string, path: string): string {
  const outside = path.split("/").includes("..") || root.split("/").includes("..");
  if (outside || path === root) return "";
  if (root === "/") return path;
  return path.startsWith(`${root}/`) ? path.slice(root.length) : "";
}
