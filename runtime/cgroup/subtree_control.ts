import type { Kernel } from "../../ffi/kernel.ts";
import { AT_FDCWD } from "../../ffi/abi/file_flags.ts";
import { writeFile } from "../../ffi/files.ts";
import { isSyscallError } from "../../ffi/syscall_error.ts";
import { CgroupError } from "./cgroup_error.ts";
import { readControllers } from "./cgroup_mounts.ts";
import type { CgroupPlan, PlannedDirectory } from "./cgroup_plan.ts";

/**
 * Has every ancestor of a cgroup2 directory give its controllers to its children (cgroup-v2.rst, "Enabling and
 * Disabling"). All that the mount offers, as runc does, because clients read their statistics. What an ancestor
 * cannot give is missed only when the container asks for it.
 *
 * @throws {CgroupError} when a controller is missing that the plan needs.
 */
export function enableControllers(
  kernel: Kernel,
  directory: PlannedDirectory,
  { early, late }: Pick<CgroupPlan, "early" | "late">,
): void {
  const { path, mountPoint, controllers } = directory;
  if (controllers.length === 0) return;
  const missing = () => {
    const there = readControllers(kernel, path);
    return controllers.filter((controller) => !there.includes(controller));
  };
  if (missing().length === 0) return; // the usual case: earlier containers had it done
  for (const ancestor of ancestors(path, mountPoint)) give(kernel, ancestor, controllers);
  const absent = new Set(missing());
  const needed = [...early, ...late].find(({ controller }) => absent.has(controller));
  if (needed === undefined) return;
  const parent = path.slice(0, path.lastIndexOf("/"));
  throw new CgroupError(
    `${needed.field}: the ${needed.controller} controller is not enabled in ${path}: ` +
      `${parent} or a cgroup above it cannot give it to its children ` +
      "(one that has processes of its own cannot, nor one that was not given it)",
  );
}

/** From the mount point down to the parent. */
function ancestors(path: string, mountPoint: string): string[] {
  const found = [mountPoint];
  for (let at = mountPoint.length + 1;; at++) {
    at = path.indexOf("/", at);
    if (at < 0) return found;
    found.push(path.slice(0, at));
  }
}

function give(kernel: Kernel, directory: string, controllers: readonly string[]): void {
  const file = `${directory}/cgroup.subtree_control`;
  const write = (wanted: readonly string[]) => {
    writeFile(kernel, AT_FDCWD, file, wanted.map((controller) => `+${controller}`).join(" "));
  };
  try {
    write(controllers);
  } catch (error) {
    if (!isSyscallError(error)) throw error;
    // All or nothing: one that cannot be given keeps back the others. Which are missing is looked at afterwards.
    for (const controller of controllers) {
      try {
        write([controller]);
      } catch (again) {
        if (!isSyscallError(again)) throw again;
      }
    }
  }
}
