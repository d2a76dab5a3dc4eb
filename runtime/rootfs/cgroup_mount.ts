import type { Kernel } from "../../ffi/kernel.ts";
import { tolerate } from "../../ffi/call.ts";
import { close, fchdir, mkdirat, openat2, symlinkat } from "../../ffi/syscalls/file.ts";
import { mount } from "../../ffi/syscalls/mount.ts";
import { O, RESOLVE } from "../../ffi/abi/file_flags.ts";
import * as MNT from "../../ffi/abi/mount_flags.ts";
import { makeInRoot, openInRoot } from "./in_root.ts";
import { attach, changeAttributes, cloneTree } from "./place_mount.ts";
import type { PlannedDirectory } from "../cgroup/cgroup_plan.ts";
import type { PreparedMount } from "./mounts.ts";

/** One hierarchy as a container sees it: a directory in /sys/fs/cgroup. */
export interface VisibleHierarchy {
  /** The directory's name: `cpu,cpuacct`, `systemd`. */
  readonly name: string;
  /** What mount(2) takes for it: `cpu,cpuacct`, `none,name=systemd`. */
  readonly data: string;
  /** The controllers that are mounted together and have a link each: `cpu`, `cpuacct`. */
  readonly links: readonly string[];
  /** The container's own directory in it, on the host. */
  readonly path: string;
}

/** What `type: cgroup` shows: hierarchies of v1 below a tmpfs, or the one of v2. */
export type CgroupView =
  | { readonly version: 1; readonly hierarchies: readonly VisibleHierarchy[] }
  | { readonly version: 2; readonly path: string };

/** What a container sees of its cgroups. */
export function cgroupView(directories: readonly PlannedDirectory[]): CgroupView {
  const unified = directories.find(({ version }) => version === 2);
  const classic = directories.filter(({ version }) => version === 1);
  if (classic.length === 0) return { version: 2, path: unified?.path ?? "/sys/fs/cgroup" };
  return {
    version: 1,
    hierarchies: classic.map(({ controllers, mountPoint, path }) => ({
      name: mountPoint.slice(mountPoint.lastIndexOf("/") + 1),
      data: controllers.map((name) => name.startsWith("name=") ? `none,${name}` : name).join(","),
      links: controllers.length > 1 ? controllers : [],
      path,
    })),
  };
}

/**
 * A mount of type cgroup: the container's own cgroups. With a cgroup namespace they are mounted anew (the namespace
 * shows them as the root), without one the container's directories are bound.
 */
export function makeCgroupMount(
  kernel: Kernel,
  root: number,
  prepared: PreparedMount,
  view: CgroupView,
  ownNamespace: boolean,
): void {
  const { mount: { destination, parsed } } = prepared;
  const place = makeInRoot(kernel, root, destination, "directory");
  if (view.version === 2) {
    if (ownNamespace) kernel.batch([fchdir(place), mount("cgroup", ".", "cgroup2", parsed.flags)]);
    else bind(kernel, view.path, place, parsed.set, parsed.clear);
    kernel.call(close(place));
    return;
  }
  const writable = parsed.flags & ~MNT.MS_RDONLY;
  kernel.batch([fchdir(place), mount("tmpfs", ".", "tmpfs", writable, "mode=755"), close(place)]);
  const top = kernel.call(openInRoot(root, destination));
  for (const hierarchy of view.hierarchies) {
    const inside = openat2(top, hierarchy.name, {
      flags: O.O_PATH | O.O_DIRECTORY | O.O_NOFOLLOW,
      resolve: RESOLVE.RESOLVE_BENEATH,
    });
    const links = hierarchy.links.map((link) =>
      tolerate(symlinkat(hierarchy.name, top, link), ["EEXIST"], "named as its hierarchy")
    );
    const [, directory] = kernel.batch([mkdirat(top, hierarchy.name, 0o755), inside, ...links]);
    if (ownNamespace) {
      kernel.batch([
        fchdir(directory as number),
        mount("cgroup", ".", "cgroup", parsed.flags, hierarchy.data),
      ]);
    } else bind(kernel, hierarchy.path, directory as number, parsed.set, parsed.clear);
    kernel.call(close(directory as number));
  }
  if (parsed.flags & MNT.MS_RDONLY) {
    changeAttributes(kernel, top, { set: MNT.MOUNT_ATTR_RDONLY, recursive: false });
  }
  kernel.call(close(top));
}

function bind(kernel: Kernel, path: string, place: number, set: number, clear: number): void {
  const tree = kernel.call(cloneTree(path, false));
  kernel.call(attach(tree, place));
  changeAttributes(kernel, tree, { set, clear, recursive: false });
  kernel.call(close(tree));
}
