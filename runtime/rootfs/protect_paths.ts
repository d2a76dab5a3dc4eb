import type { Kernel } from "../../ffi/kernel.ts";
import { attempt, type Call } from "../../ffi/call.ts";
import { close, statx } from "../../ffi/syscalls/file.ts";
import { FSCONFIG, fsconfig, fsmount, fsopen } from "../../ffi/syscalls/mount.ts";
import { AT, S_IF } from "../../ffi/abi/file_flags.ts";
import { MOUNT_ATTR_RDONLY } from "../../ffi/abi/mount_flags.ts";
import { SyscallError } from "../../ffi/syscall_error.ts";
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
  try {
    for (const { place } of find(kernel, root, readonlyPaths)) makeReadonly(kernel, place);
    hide(kernel, find(kernel, root, maskedPaths));
  } catch (cause) {
    throw cause instanceof SyscallError
      ? new CommandError("protecting linux.readonlyPaths and linux.maskedPaths", { cause })
      : cause;
  }
}

/** Opens the paths that exist, all in one batch. */
function find(kernel: Kernel, root: number, paths: readonly string[]): Found[] {
  const calls = paths.flatMap((path) => {
    const opened = openInRoot(root, path);
    return [attempt(opened), attempt(statx(opened as Call<number>, "", AT.AT_EMPTY_PATH))];
  });
  const results = kernel.batch(calls);
  return paths.flatMap((path, i) => {
    const [place, stat] = [results[i * 2], results[i * 2 + 1]];
    if (place instanceof SyscallError) {
      if (place.is("ENOENT", "ENOTDIR")) return [];
      throw place;
    }
    if (stat instanceof SyscallError) throw stat;
    if (typeof place !== "number" || typeof stat !== "object") return [];
    return [{ path, place, directory: (stat.mode & S_IF.S_IFMT) === S_IF.S_IFDIR }];
  });
}

function makeReadonly(kernel: Kernel, place: number): void {
  const change = { set: MOUNT_ATTR_RDONLY, recursive: false };
  const tree = kernel.call(cloneTree("", true, place));
  kernel.call(attach(tree, place));
  changeAttributes(kernel, tree, change);
  kernel.batch([close(tree), close(place)]);
}

function hide(kernel: Kernel, found: readonly Found[]): void {
  if (found.length === 0) return;
  const directories = found.filter(({ directory }) => directory);
  const files = found.filter(({ directory }) => !directory);
  if (directories.length > 0) hideBehind(kernel, directories, emptyDirectory(kernel));
  if (files.length > 0) hideBehind(kernel, files, devNull(kernel));
}

/** Attaches copies of one detached mount at all places. */
function hideBehind(kernel: Kernel, found: readonly Found[], cover: number): void {
  kernel.batch([
    ...found.flatMap(({ place }) => {
      const copy = cloneTree("", false, cover);
      return [copy, attach(copy, place), close(copy), close(place)];
    }),
    close(cover),
  ]);
}

function emptyDirectory(kernel: Kernel): number {
  const context = fsopen("tmpfs");
  const mounted = fsmount(context, MOUNT_ATTR_RDONLY);
  const results = kernel.batch([
    context,
    fsconfig(context, FSCONFIG.FSCONFIG_SET_STRING, "nr_blocks", "1"),
    fsconfig(context, FSCONFIG.FSCONFIG_CMD_CREATE),
    mounted,
    close(context),
  ]);
  return results[3];
}

function devNull(kernel: Kernel): number {
  const tree = cloneTree("/dev/null", false);
  const [fd, { mode, rdevMajor, rdevMinor }] = kernel.batch([
    tree,
    statx(tree, "", AT.AT_EMPTY_PATH),
  ]);
  if ((mode & S_IF.S_IFMT) !== S_IF.S_IFCHR || rdevMajor !== 1 || rdevMinor !== 3) {
    throw new CommandError("the host's /dev/null is not the null device (1:3)");
  }
  return fd;
}
