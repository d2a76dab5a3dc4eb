import type { Kernel } from "../../ffi/kernel.ts";
import { type Call, Call as SystemCall, tolerate } from "../../ffi/call.ts";
import { post } from "../../ffi/deferring.ts";
import {
  close,
  fchownat,
  makedev,
  mknodat,
  statx,
  symlinkat,
  unlinkat,
} from "../../ffi/syscalls/file.ts";
import { AT, S_IF } from "../../ffi/abi/file_flags.ts";
import { SyscallError } from "../../ffi/syscall_error.ts";
import { pathComponents } from "../spec/path_components.ts";
import type { LinuxDevice, Spec } from "../spec/types.ts";
import { CommandError } from "../cli/command_error.ts";
import { makeCalls, makeInRoot, openInRoot } from "./in_root.ts";
import { attach, cloneTree } from "./place_mount.ts";
import { destination } from "./mounts.ts";

/** What every container has (config-linux.md, "Default Devices"; /dev/console and /dev/ptmx come otherwise). */
const DEFAULT_DEVICES: readonly LinuxDevice[] = ([
  ["/dev/null", 1, 3],
  ["/dev/zero", 1, 5],
  ["/dev/full", 1, 7],
  ["/dev/random", 1, 8],
  ["/dev/urandom", 1, 9],
  ["/dev/tty", 5, 0],
] as const).map(([path, major, minor]) => ({
  ...{ path, type: "c" as const, major, minor, fileMode: 0o666, uid: 0, gid: 0 },
}));

/** Links that every container has (config-linux.md, "Dev symbolic links"). */
const LINKS = [
  ["/proc/self/fd", "fd"],
  ["/proc/self/fd/0", "stdin"],
  ["/proc/self/fd/1", "stdout"],
  ["/proc/self/fd/2", "stderr"],
] as const;

const TYPES = { c: S_IF.S_IFCHR, b: S_IF.S_IFBLK, p: S_IF.S_IFIFO } as const;
const THERE = "the image, or an earlier mount, has it";

/** Whether /dev is the container's own: not one of the host's that was bound there. */
export function setsUpDev(spec: Spec): boolean {
  return !spec.mounts.some((mount) => mount.parsed.bind && destination(mount) === "/dev");
}

/** The devices to be made: those of config.json, then the default ones that it does not name. */
export function wantedDevices(spec: Spec): LinuxDevice[] {
  const named = new Set(spec.linux.devices.map((device) => pathComponents(device.path).join("/")));
  const defaults = DEFAULT_DEVICES.filter((device) => !named.has(device.path.slice(1)));
  return [...spec.linux.devices, ...defaults];
}

/**
 * Makes the devices and links of /dev, with a umask of 0. In a user namespace nobody may make devices: there they are
 * bound from the host's /dev.
 */
export function makeDevices(kernel: Kernel, root: number, spec: Spec, bound: boolean): void {
  const devices = wantedDevices(spec);
  const fail = (cause: unknown): never => {
    throw cause instanceof SyscallError
      ? new CommandError("creating device nodes", { cause })
      : cause;
  };
  const bindAll = (direct: Kernel) => {
    try {
      for (const device of devices) bindDevice(direct, root, device);
    } catch (cause) {
      fail(cause);
    }
  };
  if (bound) return bindAll(kernel);
  const calls = devices.flatMap((device, index) => {
    const field = index < spec.linux.devices.length ? `linux.devices[${index}]` : undefined;
    return nodeCalls(root, device, field);
  });
  post(kernel, calls, (error, direct) => {
    // Where mknod is forbidden although we are root (a container, a devices cgroup): bind what the host has.
    if (!(error.syscall === "mknodat" && error.is("EPERM"))) return fail(error);
    bindAll(direct);
    return "done";
  });
}

/** @param field `linux.devices[2]`, when it is one of them: what is there already must be that very device. */
function nodeCalls(root: number, device: LinuxDevice, field?: string): Call<unknown>[] {
  const parts = pathComponents(device.path);
  const name = parts.pop() ?? "";
  const directory = parts.join("/");
  const parent = openInRoot(root, directory);
  const { type, major, minor, fileMode, uid, gid } = device;
  const made = mknodat(parent, name, TYPES[type] | fileMode, makedev(major, minor));
  return [
    ...makeCalls(root, directory, "directory"),
    parent,
    tolerate(made, ["EEXIST"], THERE),
    ...(field === undefined ? [] : [sameDevice(parent, name, device, field)]),
    ...(uid === 0 && gid === 0 ? [] : [fchownat(parent, name, uid, gid, AT.AT_SYMLINK_NOFOLLOW)]),
    close(parent),
  ];
}

/** config-linux.md, "Devices": a file at the path that is not the device asked for is an error. */
function sameDevice(
  parent: Call<number>,
  name: string,
  { path, type, major, minor }: LinuxDevice,
  field: string,
): Call<void> {
  const asked = statx(parent, name, AT.AT_SYMLINK_NOFOLLOW);
  return new SystemCall(asked.name, asked.args, (result) => {
    const { mode, rdevMajor, rdevMinor } = asked.decode(result);
    const isNumbered = type === "p" || (rdevMajor === major && rdevMinor === minor);
    if ((mode & S_IF.S_IFMT) === TYPES[type] && isNumbered) return;
    throw new CommandError(`${field}: the container has something else at ${path} already`);
  });
}

function bindDevice(kernel: Kernel, root: number, device: LinuxDevice): void {
  const tree = kernel.call(cloneTree(device.path, false));
  const place = makeInRoot(kernel, root, device.path, "file");
  kernel.batch([attach(tree, place), close(tree), close(place)]);
}

/** Makes /dev/fd, /dev/stdin, ..., /dev/core and /dev/ptmx. */
export function makeLinks(kernel: Kernel, root: number): void {
  const dev = openInRoot(root, "/dev");
  const link = (target: string, name: string) =>
    tolerate(symlinkat(target, dev, name), ["EEXIST"], THERE);
  post(kernel, [
    ...makeCalls(root, "/dev", "directory"),
    dev,
    ...LINKS.map(([target, name]) => link(target, name)),
    link("/proc/kcore", "core"),
    tolerate(unlinkat(dev, "ptmx"), ["ENOENT"], "the usual case: nothing to replace"),
    link("pts/ptmx", "ptmx"),
    close(dev),
  ]);
}
