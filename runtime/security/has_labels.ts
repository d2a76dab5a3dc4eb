import type { Process } from "../spec/types.ts";

/** Whether a security module is to be told of a process; only then `labels.ts` is loaded. */
export function hasLabels(
  { apparmorProfile, selinuxLabel }: Pick<Process, "apparmorProfile" | "selinuxLabel">,
): boolean {
  return apparmorProfile !== undefined || selinuxLabel !== undefined;
}
