import type { Kernel } from "../../ffi/kernel.ts";
import { type Call, type Fd, tolerate } from "../../ffi/call.ts";
import { post } from "../../ffi/deferring.ts";
import { close, fchdir, mkdirat, openat2, symlinkat } from "../../ffi/syscalls/file.ts";
import { mount, mount_setattr, type MountAttr } from "../../ffi/syscalls/mount.ts";
import type { SyscallError } from "../../ffi/syscall_error.ts";
import { CommandError } from "../cli/command_error.ts";
import { O, RESOLVE } from "../../ffi/abi/file_flags.ts";
import * as MNT from "../../ffi/abi/mount_flags.ts";
import { atPlace, openInRoot } from "./in_root.ts";
import { attach, changeAttributes, cloneTree } from "./place_mount.ts";
import type { PlannedDirectory } from "../cgroup/cgroup_plan.ts";
import { notOnProcfs } from "./proc_guard.ts";
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
  const { mount: { destination, parsed }, field } = prepared;
  const fail = (cause: SyscallError) => {
    throw new CommandError(`${field}: error mounting cgroup to rootfs at ${destination}`, {
      cause,
    });
  };
  const attributes = { set: parsed.set, clear: parsed.clear };
  if (view.version === 2) {
    const use = (place: Call<number>) => [
      ...notOnProcfs(place, prepared.mount, field),
      ...(ownNamespace
        ? [fchdir(place), mount("cgroup", ".", "cgroup2", parsed.flags)]
        : bindCalls(view.path, place, attributes)),
    ];
    atPlace(kernel, root, destination, "directory", use, fail);
    return;
  }
  const writable = parsed.flags & ~MNT.MS_RDONLY;
  const use = (place: Call<number>) => [
    ...notOnProcfs(place, prepared.mount, field),
    fchdir(place),
    mount("tmpfs", ".", "tmpfs", writable, "mode=755"),
  ];
  atPlace(kernel, root, destination, "directory", use, fail);
  const top = openInRoot(root, destination);
  const readonly = (parsed.flags & MNT.MS_RDONLY) !== 0;
  const directories = view.hierarchies.flatMap(({ name, links }) => [
    mkdirat(top, name, 0o755),
    ...links.map((link) => tolerate(symlinkat(name, top, link), ["EEXIST"], "named as it is")),
  ]);
  const hierarchies = view.hierarchies.flatMap(({ name, data, path }) => {
    const inside = openInside(top, name);
    return [
      inside,
      ...(ownNamespace
        ? [fchdir(inside), mount("cgroup", ".", "cgroup", parsed.flags, data)]
        : bindCalls(path, inside, attributes)),
      close(inside),
    ];
  });
  const seal = readonly ? [mount_setattr(top, { set: MNT.MOUNT_ATTR_RDONLY }, false)] : [];
  post(kernel, [top, ...directories, ...hierarchies, ...seal, close(top)], (error, direct) => {
    if (!(error.syscall === "mount_setattr" && error.is("ENOSYS"))) return fail(error);
    if (!ownNamespace) bindBySteps(direct, root, destination, view.hierarchies, attributes);
    const again = direct.call(openInRoot(root, destination));
    const change = { set: readonly ? MNT.MOUNT_ATTR_RDONLY : 0, recursive: false };
    changeAttributes(direct, again, change);
    direct.call(close(again));
    return "done";
  });
}

/** Before kernel 5.12, after the first attempt has made no more than the directories: changed once it is attached. */
function bindBySteps(
  kernel: Kernel,
  root: number,
  destination: string,
  hierarchies: readonly VisibleHierarchy[],
  attributes: MountAttr,
): void {
  const top = kernel.call(openInRoot(root, destination));
  for (const { name, path } of hierarchies) {
    const [place, tree] = kernel.batch([openInside(top, name), cloneTree(path, false)]);
    kernel.batch([attach(tree, place), close(place)]);
    changeAttributes(kernel, tree, { ...attributes, recursive: false });
    kernel.call(close(tree));
  }
  kernel.call(close(top));
}

function openInside(top: Fd, name: string): Call<number> {
  return openat2(top, name, {
    flags: O.O_PATH | O.O_DIRECTORY | O.O_NOFOLLOW,
    resolve: RESOLVE.RESOLVE_BENEATH,
  });
}

function bindCalls(path: string, place: Call<number>, attributes: MountAttr): Call<unknown>[] {
  const tree = cloneTree(path, false);
  return [tree, mount_setattr(tree, attributes, false), attach(tree, place), close(tree)];
}
