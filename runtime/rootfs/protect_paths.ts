import type { Kernel } from "../../ffi/kernel.ts";
import { attempt, type Call } from "../../ffi/call.ts";
import { post } from "../../ffi/deferring.ts";
import { close, statx } from "../../ffi/syscalls/file.ts";
import { FSCONFIG, fsconfig, fsmount, fsopen, mount_setattr } from "../../ffi/syscalls/mount.ts";
import { AT, AT_FDCWD, S_IF } from "../../ffi/abi/file_flags.ts";
import { MOUNT_ATTR_RDONLY } from "../../ffi/abi/mount_flags.ts";
import { SyscallError } from "../../ffi/syscall_error.ts";
import { pathComponents } from "../spec/path_components.ts";
import { CommandError } from "../cli/command_error.ts";
import { openInRoot } from "./in_root.ts";
import { attach, changeAttributes, cloneTree } from "./place_mount.ts";

/** A path of config.json that exists in the container, held. */
interface Found {
  readonly path: string;
  readonly place: number;
  readonly directory: boolean;
}

/**
 * Makes `linux.readonlyPaths` read-only and hides `linux.maskedPaths`: directories below one empty read-only tmpfs,
 * files below the host's own /dev/null, which is opened here, checked, and not looked for in the image
 * (CVE-2025-31133). Paths that do not exist are left alone, as the specification's runtimes do.
 */
export function protectPaths(
  kernel: Kernel,
  root: number,
  readonlyPaths: readonly string[],
  maskedPaths: readonly string[],
): void {
  if (readonlyPaths.length === 0 && maskedPaths.length === 0) return;
  const fail = (cause: unknown): never => {
    throw cause instanceof SyscallError
      ? new CommandError("protecting linux.readonlyPaths and linux.maskedPaths", { cause })
      : cause;
  };
  const { found, nullDevice } = find(kernel, root, [...maskedPaths, ...readonlyPaths]);
  const masked = found.filter(({ path }) => maskedPaths.includes(path));
  const readonly = found.filter(({ path }) => readonlyPaths.includes(path));
  const directories = masked.filter(({ directory }) => directory);
  const files = masked.filter(({ directory }) => !directory);
  if (directories.length > 0) post(kernel, hideBehind(directories, ...emptyDirectory()), fail);
  if (files.length > 0) {
    if (!nullDevice) throw new CommandError("the host's /dev/null is not the null device (1:3)");
    const cover = cloneTree("/dev/null", false);
    post(kernel, hideBehind(files, cover, [cover]), fail);
  }
  // After the masks: each is copied with what lies on it.
  post(kernel, readonly.flatMap(readonlyCalls), (error, direct) => {
    if (!(error.syscall === "mount_setattr" && error.is("ENOSYS"))) return fail(error);
    for (const each of readonly) makeReadonly(direct, each);
    return "done";
  });
  post(kernel, found.map(({ place }) => close(place)));
}

/** Opens the paths that exist, and looks at the host's null device, all in one batch. */
function find(
  kernel: Kernel,
  root: number,
  paths: readonly string[],
): { found: Found[]; nullDevice: boolean } {
  const calls = paths.flatMap((path) => {
    const opened = openInRoot(root, path);
    return [attempt(opened), attempt(statx(opened, "", AT.AT_EMPTY_PATH))];
  });
  const [host, ...results] = kernel.batch([statx(AT_FDCWD, "/dev/null", 0), ...calls]);
  const isDevice = (host.mode & S_IF.S_IFMT) === S_IF.S_IFCHR;
  const nullDevice = isDevice && host.rdevMajor === 1 && host.rdevMinor === 3;
  const found = paths.flatMap((path, i) => {
    const [place, stat] = [results[i * 2], results[i * 2 + 1]];
    if (place instanceof SyscallError) {
      if (place.is("ENOENT", "ENOTDIR")) return [];
      throw new CommandError(`protecting ${path}`, { cause: place });
    }
    if (stat instanceof SyscallError) throw stat;
    if (typeof place !== "number" || typeof stat !== "object") return [];
    return [{ path, place, directory: (stat.mode & S_IF.S_IFMT) === S_IF.S_IFDIR }];
  });
  return { found, nullDevice };
}

/** What covers the root is not seen: it is changed itself, as by `root.readonly`. */
function isRoot({ path }: Found): boolean {
  return pathComponents(path).length === 0;
}

/** A copy of what is there, read-only before it covers it. */
function readonlyCalls(found: Found): Call<unknown>[] {
  const { place } = found;
  if (isRoot(found)) return [mount_setattr(place, { set: MOUNT_ATTR_RDONLY }, false)];
  const tree = cloneTree("", true, place);
  const change = mount_setattr(tree, { set: MOUNT_ATTR_RDONLY }, false);
  return [tree, change, attach(tree, place), close(tree)];
}

/** The same before kernel 5.12. */
function makeReadonly(kernel: Kernel, found: Found): void {
  const { place } = found;
  const change = { set: MOUNT_ATTR_RDONLY, recursive: false };
  if (isRoot(found)) return changeAttributes(kernel, place, change);
  const tree = kernel.call(cloneTree("", true, place));
  kernel.call(attach(tree, place));
  changeAttributes(kernel, tree, change);
  kernel.call(close(tree));
}

/**
 * Attaches a mount at the first place, and copies of it at the others: before kernel 6.15 only a mount that is attached
 * can be copied.
 */
function hideBehind(
  found: readonly Found[],
  cover: Call<number>,
  made: readonly Call<unknown>[],
): Call<unknown>[] {
  return [
    ...made,
    ...found.flatMap(({ place }, i) => {
      if (i === 0) return [attach(cover, place)];
      const copy = cloneTree("", false, cover);
      return [copy, attach(copy, place), close(copy)];
    }),
    close(cover),
  ];
}

/** A read-only tmpfs with nothing in it, and room for nothing. */
function emptyDirectory(): [cover: Call<number>, made: Call<unknown>[]] {
  const context = fsopen("tmpfs");
  const cover = fsmount(context, MOUNT_ATTR_RDONLY);
  return [cover, [
    context,
    fsconfig(context, FSCONFIG.FSCONFIG_SET_STRING, "nr_blocks", "1"),
    fsconfig(context, FSCONFIG.FSCONFIG_CMD_CREATE),
    cover,
    close(context),
  ]];
}
