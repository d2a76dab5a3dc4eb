import type { Kernel } from "../../ffi/kernel.ts";
import { close, fchdir, statx } from "../../ffi/syscalls/file.ts";
import { mount, mount_setattr } from "../../ffi/syscalls/mount.ts";
import { AT_FDCWD, S_IF } from "../../ffi/abi/file_flags.ts";
import * as MNT from "../../ffi/abi/mount_flags.ts";
import { SyscallError } from "../../ffi/syscall_error.ts";
import type { Mount } from "../spec/types.ts";
import { CommandError } from "../cli/command_error.ts";
import { components, type Kind, makeInRoot, openInRoot } from "./in_root.ts";
import { attach, type AttributeChange, changeAttributes, cloneTree } from "./place_mount.ts";
import { copyUp } from "./copy_up.ts";

/** A mount of config.json, with what was found out about it before the container's process exists. */
export interface PreparedMount {
  readonly mount: Mount;
  /** `mounts[3]`, for errors. */
  readonly field: string;
  /** Whether a bind mount's source is a directory. */
  readonly kind: Kind;
  /** The detached copy of a bind mount's source, when the stub before the user namespace had to open it. */
  readonly tree?: number;
}

/** The destination without `.` and `..`: `/proc/sys`. */
export function destination(mount: Mount): string {
  return "/" + components(mount.destination).join("/");
}

/** Looks at the sources of bind mounts, on the host. @throws CommandError for a source that is not there. */
export function prepareMounts(kernel: Kernel, mounts: readonly Mount[]): PreparedMount[] {
  return mounts.map((mount, index) => {
    const field = `mounts[${index}]`;
    if (!mount.parsed.bind) return { mount, field, kind: "directory" };
    const source = mount.source ?? "";
    try {
      const { mode } = kernel.call(statx(AT_FDCWD, source, 0));
      return { mount, field, kind: (mode & S_IF.S_IFMT) === S_IF.S_IFDIR ? "directory" : "file" };
    } catch (cause) {
      throw failed(field, mount, cause);
    }
  });
}

/**
 * Whether a mount must stay writable until everything is set up, because things are made in it: /dev, and tmpfs in
 * which later mounts may need directories.
 */
export function isSealedLate({ mount }: PreparedMount): boolean {
  if ((mount.parsed.set & MNT.MOUNT_ATTR_RDONLY) === 0) return false;
  return (mount.type === "tmpfs" && !mount.parsed.bind) || destination(mount) === "/dev";
}

/** Makes one mount of config.json inside the root. @throws CommandError naming the mount. */
export function makeMount(kernel: Kernel, root: number, prepared: PreparedMount): void {
  try {
    if (prepared.mount.parsed.bind) makeBind(kernel, root, prepared);
    else makeFilesystem(kernel, root, prepared);
  } catch (cause) {
    throw failed(prepared.field, prepared.mount, cause);
  }
}

function failed(field: string, mount: Mount, cause: unknown): unknown {
  if (!(cause instanceof SyscallError)) return cause;
  const what = mount.parsed.bind ? `bind of ${mount.source}` : mount.type ?? "none";
  return new CommandError(`${field}: error mounting ${what} to rootfs at ${mount.destination}`, {
    cause,
  });
}

/** A bind mount has its attributes before it is attached: at no moment is a read-only one writable. */
function makeBind(kernel: Kernel, root: number, prepared: PreparedMount): void {
  const { parsed, source = "" } = prepared.mount;
  const tree = prepared.tree ?? kernel.call(cloneTree(source, parsed.recursiveBind));
  const place = makeInRoot(kernel, root, prepared.mount.destination, prepared.kind);
  const changes = bindChanges(prepared);
  const late = changes.filter((change) => !applyEarly(kernel, tree, change));
  kernel.call(attach(tree, place));
  for (const change of late) changeAttributes(kernel, tree, change);
  kernel.batch([close(tree), close(place)]);
}

function bindChanges(prepared: PreparedMount): AttributeChange[] {
  const { parsed } = prepared.mount;
  const sealedLate = isSealedLate(prepared) ? MNT.MOUNT_ATTR_RDONLY : 0;
  const attributes = [
    { set: parsed.set & ~sealedLate, clear: parsed.clear, recursive: false },
    { set: parsed.recursiveSet, clear: parsed.recursiveClear, recursive: true },
  ].filter(({ set, clear }) => set !== 0 || clear !== 0);
  const propagation = parsed.propagation.map((flags) => ({
    propagation: flags & ~MNT.MS_REC,
    recursive: (flags & MNT.MS_REC) !== 0,
  }));
  return [...attributes, ...propagation];
}

/** Whether the change could be made on the detached mount; false before kernel 5.12. */
function applyEarly(
  kernel: Kernel,
  tree: number,
  change: AttributeChange,
): boolean {
  try {
    kernel.call(mount_setattr(tree, change, change.recursive));
    return true;
  } catch (error) {
    if (error instanceof SyscallError && error.is("ENOSYS")) return false;
    throw error;
  }
}

/** A new file system is mounted by mount(2) on ".", with the working directory at the place itself. */
function makeFilesystem(kernel: Kernel, root: number, prepared: PreparedMount): void {
  const { mount: { type = "none", source = "none", parsed }, mount: made } = prepared;
  const place = makeInRoot(kernel, root, made.destination, "directory");
  const flags = isSealedLate(prepared) ? parsed.flags & ~MNT.MS_RDONLY : parsed.flags;
  const data = parsed.data.join(",");
  kernel.batch([fchdir(place), mount(source, ".", type, flags, data === "" ? 0 : data)]);
  if (parsed.tmpcopyup) copyUp(kernel, place, kernel.call(openInRoot(root, made.destination)));
  kernel.call(close(place));
  finish(kernel, root, prepared);
}

/** What mount(2) cannot do in the same call: recursive attributes and propagation. */
function finish(kernel: Kernel, root: number, { mount: made }: PreparedMount): void {
  const { recursiveSet, recursiveClear, propagation } = made.parsed;
  if (recursiveSet === 0 && recursiveClear === 0 && propagation.length === 0) return;
  const tree = kernel.call(openInRoot(root, made.destination));
  if (recursiveSet !== 0 || recursiveClear !== 0) {
    changeAttributes(kernel, tree, { set: recursiveSet, clear: recursiveClear, recursive: true });
  }
  const changes = propagation.map((flags) => mount(0, ".", 0, flags));
  kernel.batch([fchdir(tree), ...changes, close(tree)]);
}

/** Makes the mounts read-only that had to stay writable until now. */
export function sealLate(kernel: Kernel, root: number, mounts: readonly PreparedMount[]): void {
  for (const prepared of mounts.filter(isSealedLate)) {
    const tree = kernel.call(openInRoot(root, prepared.mount.destination));
    changeAttributes(kernel, tree, {
      set: prepared.mount.parsed.set,
      recursive: false,
    });
    kernel.call(close(tree));
  }
}
