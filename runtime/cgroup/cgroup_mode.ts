import type { CgroupDirectory } from "./cgroup_plan.ts";

/**
 * Which version limits a container, by its directories: v1 where one of them has a controller of v1, also when cgroup2
 * is beside it. A lone name=systemd hierarchy, beside cgroup2, limits nothing.
 */
export function modeOf(
  directories: readonly Pick<CgroupDirectory, "version" | "controllers">[],
): "v1" | "v2" | "none" {
  const limits = directories.some(({ version, controllers }) =>
    version === 1 && controllers[0] !== "name=systemd"
  );
  if (limits) return "v1";
  return directories.some(({ version }) => version === 2) ? "v2" : "none";
}
