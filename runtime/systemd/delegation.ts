import type { Kernel } from "../../ffi/kernel.ts";
import { isSyscallError } from "../../ffi/syscall_error.ts";
import { readControllers } from "../cgroup/cgroup_mounts.ts";
import { CgroupError } from "../cgroup/cgroup_error.ts";
import type { CgroupPlan } from "../cgroup/cgroup_plan.ts";

/**
 * Asserts that a user's systemd was given what a container needs, before anything is made: systemd makes the scope
 * also without.
 * @param manager The cgroup of the user's systemd, from the mount point on.
 * @throws {CgroupError} that says what is missing, and where it can be given.
 */
export function assertDelegated(
  kernel: Kernel,
  { mode, directories, early, late }: CgroupPlan,
  manager: string,
): void {
  const [directory] = directories;
  if (mode !== "v2" || directory === undefined) {
    throw new CgroupError(
      "--systemd-cgroup: a user's systemd has cgroups to give on cgroup2 alone, and here " +
        (mode === "v1" ? "are controllers of cgroup v1" : "is no cgroup hierarchy"),
    );
  }
  const place = `${directory.mountPoint}${manager}`;
  const given = controllersOf(kernel, place);
  const missing = [...early, ...late].find(({ controller }) =>
    directory.controllers.includes(controller) && !given.includes(controller)
  );
  if (missing === undefined) return;
  throw new CgroupError(
    `${missing.field}: the ${missing.controller} controller is not the user's: ${place} has ` +
      `${given.length === 0 ? "none" : `only ${given.join(", ")}`}; root gives it with ` +
      "Delegate= of user@.service (systemd.resource-control(5))",
  );
}

function controllersOf(kernel: Kernel, place: string): readonly string[] {
  try {
    return readControllers(kernel, place);
  } catch (cause) {
    if (!isSyscallError(cause)) throw cause;
    const words = `--systemd-cgroup: the cgroup of the user's systemd cannot be seen at ${place}`;
    throw new CgroupError(words, { cause });
  }
}
