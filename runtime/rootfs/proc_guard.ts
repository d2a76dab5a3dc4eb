import type { Kernel } from "../../ffi/kernel.ts";
import { Call, type Fd } from "../../ffi/call.ts";
import { close, fstatfs, openat } from "../../ffi/syscalls/file.ts";
import { AT_FDCWD, FS_MAGIC, O } from "../../ffi/abi/file_flags.ts";
import type { Mount } from "../spec/types.ts";
import { pathComponents } from "../spec/path_components.ts";
import { ValidationError } from "../spec/validation_error.ts";

/**
 * /proc is what a runtime, and everybody in the container, believes. So nothing is mounted inside of it, and nothing
 * but a procfs on it (CVE-2019-16884, CVE-2019-19921), as with runc.
 *
 * @module
 */

/** Files that lxcfs puts its own in place of: the same list as runc's. */
const EMULATED: readonly string[] = [
  "cpuinfo",
  "diskstats",
  "loadavg",
  "meminfo",
  "slabinfo",
  "stat",
  "swaps",
  "uptime",
  "sys/crypto/fips_enabled",
  "sys/kernel/ns_last_pid",
].map((name) => `proc/${name}`);

/**
 * Refuses a destination in /proc by its name.
 * @param field `mounts[3]`
 * @throws ValidationError
 */
export function checkProcDestination(kernel: Kernel, mount: Mount, field: string): void {
  const path = pathComponents(mount.destination).join("/");
  const refuse = (why: string): never => {
    throw new ValidationError(`${field}.destination`, `"${mount.destination}" ${why}`);
  };
  if (path === "proc") {
    const { parsed: { bind }, source = "" } = mount;
    const isProcfs = bind ? isOnProcfs(kernel, source) : mount.type === "proc";
    if (!isProcfs) refuse("cannot be mounted because it is not of type proc");
  } else if (path.startsWith("proc/") && !EMULATED.includes(path)) {
    refuse("cannot be mounted because it is inside /proc");
  }
}

function isOnProcfs(kernel: Kernel, path: string): boolean {
  const opened = openat(AT_FDCWD, path, O.O_PATH);
  const [, { type }] = kernel.batch([opened, fstatfs(opened), close(opened)]);
  return type === FS_MAGIC.PROC_SUPER_MAGIC;
}

/** Whether a destination may lie on a procfs: /proc itself, mounted once more, and what lxcfs emulates. */
function mayLieOnProcfs(mount: Mount): boolean {
  const path = pathComponents(mount.destination).join("/");
  return path === "proc" || EMULATED.includes(path);
}

/**
 * The call that finds out where a destination lies whose name is innocent, but which a link of the image may have led
 * into /proc; when it does, its result is an error.
 */
export function notOnProcfs(place: Fd, mount: Mount, field: string): Call<void>[] {
  if (mayLieOnProcfs(mount)) return [];
  const asked = fstatfs(place);
  const check = (result: number) => {
    if (asked.decode(result).type !== FS_MAGIC.PROC_SUPER_MAGIC) return;
    const why = `"${mount.destination}" cannot be mounted because it leads into /proc`;
    throw new ValidationError(`${field}.destination`, why);
  };
  return [new Call(asked.name, asked.args, check)];
}
