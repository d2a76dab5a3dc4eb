import type { LinuxResources } from "./types.ts";
import { ValidationError } from "./validation_error.ts";

/**
 * Limits that contradict each other, as runc and both versions of the memory cgroup see it: swap
 * counts memory *and* swap, so it needs a memory limit and cannot be smaller.
 *
 * @throws {ValidationError}
 */
export function validateResources(resources: LinuxResources, warnings: string[]): void {
  const { memory } = resources;
  if (memory === undefined) return;
  const { limit, swap } = memory;
  if (swap !== undefined && swap > 0n) {
    if (limit === undefined || limit === -1n) {
      throw new ValidationError(
        "linux.resources.memory.swap",
        "limits memory and swap together and needs linux.resources.memory.limit",
      );
    }
    if (swap < limit) {
      throw new ValidationError(
        "linux.resources.memory.swap",
        "limits memory and swap together and must be at least the memory limit, " +
          `got ${swap} and ${limit}`,
      );
    }
  }
  if (memory.useHierarchy === false) {
    warnings.push(
      "linux.resources.memory.useHierarchy: false has no effect: memory is always accounted " +
        "hierarchically (since Linux 5.11, and on cgroup v2)",
    );
  }
}
