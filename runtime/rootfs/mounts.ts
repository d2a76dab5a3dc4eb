import type { Kernel } from "../../ffi/kernel.ts";
import { attempt, type Call, type Fd } from "../../ffi/call.ts";
import { type OnPostedFailure, post } from "../../ffi/deferring.ts";
import { close, fchdir, statx } from "../../ffi/syscalls/file.ts";
import { mount, mount_setattr } from "../../ffi/syscalls/mount.ts";
import { ERRNO, strerror } from "../../ffi/abi/errno.ts";
import { AT, AT_FDCWD, O, S_IF } from "../../ffi/abi/file_flags.ts";
import * as MNT from "../../ffi/abi/mount_flags.ts";
import { SyscallError } from "../../ffi/syscall_error.ts";
import { pathComponents } from "../spec/path_components.ts";
import type { Mount } from "../spec/types.ts";
import { ValidationError } from "../spec/validation_error.ts";
import { CommandError } from "../cli/command_error.ts";
import { atPlace, type Kind, makeInRoot, openInRoot } from "./in_root.ts";
import { attach, type AttributeChange, changeAttributes, cloneTree } from "./place_mount.ts";
import { checkProcDestination, notOnProcfs } from "./proc_guard.ts";
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
  return "/" + pathComponents(mount.destination).join("/");
}

/**
 * What is mounted on the root itself would lie on top of it and not be seen: the process's root is what is below. (runc
 * would make it the root; docker and podman refuse it, too.) A remount changes the root itself.
 */
function checkNotRoot(mount: Mount, field: string): void {
  if (destination(mount) !== "/" || (mount.parsed.flags & MNT.MS_REMOUNT) !== 0) return;
  const problem = "must not be the root itself, which is root.path";
  throw new ValidationError(`${field}.destination`, problem);
}

/**
 * Looks at the sources of bind mounts, on the host, and at what is to be mounted in /proc.
 * @throws CommandError for a source that is not there, ValidationError for a destination that is not to be had.
 */
export function prepareMounts(kernel: Kernel, mounts: readonly Mount[]): PreparedMount[] {
  return mounts.map((mount, index) => {
    const field = `mounts[${index}]`;
    const source = mount.source ?? "";
    checkNotRoot(mount, field);
    try {
      checkProcDestination(kernel, mount, field);
      if (!mount.parsed.bind) return { mount, field, kind: "directory" };
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

/** Makes one mount of config.json inside the root; it may be made later. @throws CommandError naming the mount. */
export function makeMount(kernel: Kernel, root: number, prepared: PreparedMount): void {
  if (prepared.mount.parsed.bind) makeBind(kernel, root, prepared);
  else if (prepared.mount.parsed.tmpcopyup) makeFilledTmpfs(kernel, root, prepared);
  else makeFilesystem(kernel, root, prepared);
}

function failed(field: string, mount: Mount, cause: unknown): unknown {
  if (!(cause instanceof SyscallError || cause instanceof CommandError)) return cause;
  const what = mount.parsed.bind ? `bind of ${mount.source}` : mount.type ?? "none";
  return new CommandError(`${field}: error mounting ${what} to rootfs at ${mount.destination}`, {
    cause,
  });
}

/** A bind mount has its attributes before it is attached: at no moment is a read-only one writable. */
function makeBind(kernel: Kernel, root: number, prepared: PreparedMount): void {
  const { mount: { destination, source = "", parsed }, kind, field } = prepared;
  const tree = prepared.tree ?? cloneTree(source, parsed.recursiveBind);
  const use = (place: Call<number>) => [
    ...notOnProcfs(place, prepared.mount, field),
    ...(typeof tree === "number" ? [] : [tree]),
    ...bindChanges(prepared).map((change) => mount_setattr(tree, change, change.recursive)),
    attach(tree, place),
    close(tree),
  ];
  atPlace(kernel, root, destination, kind, use, (error, direct) => {
    if (!(error.syscall === "mount_setattr" && error.is("ENOSYS"))) {
      throw failed(field, prepared.mount, unlikeKinds(direct, root, prepared, error) ?? error);
    }
    bindThenChange(direct, root, prepared);
    return "done";
  });
}

/**
 * move_mount(2) says EINVAL when a directory is to lie on a file, or the other way round. mount(2) says ENOTDIR, and so
 * does runc: docker tells people from that text what they have done.
 */
function unlikeKinds(
  kernel: Kernel,
  root: number,
  { mount: { destination }, kind }: PreparedMount,
  error: SyscallError,
): CommandError | undefined {
  if (error.syscall !== "move_mount" || !error.is("EINVAL")) return undefined;
  const place = kernel.call(attempt(openInRoot(root, destination)));
  if (place instanceof Error) return undefined; // somebody changes the image meanwhile: told is what came first
  const [{ mode }] = kernel.batch([statx(place, "", AT.AT_EMPTY_PATH), close(place)]);
  const isDirectory = (mode & S_IF.S_IFMT) === S_IF.S_IFDIR;
  if (isDirectory === (kind === "directory")) return undefined;
  const [upper, lower] = isDirectory ? ["file", "directory"] : ["directory", "file"];
  return new CommandError(`a ${upper} cannot lie on a ${lower}: ${strerror(ERRNO.ENOTDIR)}`);
}

/** The same before kernel 5.12: attributes can be changed by a remount only, once the mount is attached. */
function bindThenChange(kernel: Kernel, root: number, prepared: PreparedMount): void {
  const { mount: { destination, source = "", parsed }, kind, field } = prepared;
  try {
    const tree = prepared.tree ?? kernel.call(cloneTree(source, parsed.recursiveBind));
    const place = makeInRoot(kernel, root, destination, kind);
    kernel.batch([
      ...notOnProcfs(place, prepared.mount, field),
      attach(tree, place),
      close(place),
    ]);
    for (const change of bindChanges(prepared)) changeAttributes(kernel, tree, change);
    kernel.call(close(tree));
  } catch (cause) {
    throw failed(field, prepared.mount, cause);
  }
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

/** The calls that mount a new file system on ".", the working directory being the place itself. */
function filesystemCalls(prepared: PreparedMount, place: Fd): Call<unknown>[] {
  const { type = "none", source = "none", parsed } = prepared.mount;
  const flags = isSealedLate(prepared) ? parsed.flags & ~MNT.MS_RDONLY : parsed.flags;
  const data = parsed.data.join(",");
  return [
    ...notOnProcfs(place, prepared.mount, prepared.field),
    fchdir(place),
    mount(source, ".", type, flags, data === "" ? 0 : data),
  ];
}

function makeFilesystem(kernel: Kernel, root: number, prepared: PreparedMount): void {
  const { field, mount: made } = prepared;
  const fail = (error: SyscallError) => {
    throw failed(field, made, error);
  };
  const use = (place: Call<number>) => filesystemCalls(prepared, place);
  // Everybody looks for these two at their own paths: the image must not lead them elsewhere (CVE-2019-19921).
  const ordinary = made.type === "proc" || made.type === "sysfs";
  const flags = ordinary ? O.O_PATH | O.O_DIRECTORY | O.O_NOFOLLOW : O.O_PATH;
  atPlace(kernel, root, made.destination, "directory", use, fail, flags);
  finish(kernel, root, prepared, fail);
}

/** `tmpcopyup` needs to look at what it hides, so nothing of it can wait. */
function makeFilledTmpfs(kernel: Kernel, root: number, prepared: PreparedMount): void {
  const { field, mount: { destination } } = prepared;
  try {
    const place = makeInRoot(kernel, root, destination, "directory");
    kernel.batch(filesystemCalls(prepared, place));
    copyUp(kernel, place, kernel.call(openInRoot(root, destination)));
    kernel.call(close(place));
    finish(kernel, root, prepared, (error) => {
      throw error;
    });
  } catch (cause) {
    throw failed(field, prepared.mount, cause);
  }
}

/** What mount(2) cannot do in the same call: recursive attributes and propagation. */
function finish(
  kernel: Kernel,
  root: number,
  { mount: made }: PreparedMount,
  fail: OnPostedFailure,
): void {
  const { recursiveSet: set, recursiveClear: clear, propagation } = made.parsed;
  if (set === 0 && clear === 0 && propagation.length === 0) return;
  const tree = openInRoot(root, made.destination);
  post(kernel, [
    tree,
    ...(set === 0 && clear === 0 ? [] : [mount_setattr(tree, { set, clear }, true)]),
    fchdir(tree),
    ...propagation.map((flags) => mount(0, ".", 0, flags)),
    close(tree),
  ], fail);
}

/** Makes the mounts read-only that had to stay writable until now. */
export function sealLate(kernel: Kernel, root: number, mounts: readonly PreparedMount[]): void {
  for (const prepared of mounts.filter(isSealedLate)) {
    const { field, mount: { destination } } = prepared;
    const set = MNT.MOUNT_ATTR_RDONLY; // all else was set when it was mounted
    const tree = openInRoot(root, destination);
    const calls = [tree, mount_setattr(tree, { set }, false), close(tree)];
    post(kernel, calls, (error, direct) => {
      if (!(error.syscall === "mount_setattr" && error.is("ENOSYS"))) {
        throw failed(field, prepared.mount, error);
      }
      const again = direct.call(openInRoot(root, destination));
      changeAttributes(direct, again, { set, recursive: false });
      direct.call(close(again));
      return "done";
    });
  }
}
