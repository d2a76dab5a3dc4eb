// What the tests of `process` have in common.
import type { Bundle } from "./contained.ts";

/** A field of the test's own /proc/self/status. */
function ownStatus(field: string): string {
  const text = Deno.readTextFileSync("/proc/self/status");
  return new RegExp(`^${field}:(.*)$`, "m").exec(text)?.[1]?.trim() ?? "";
}

/** Its number. */
export const CAP_SYS_RESOURCE = 24n;
/** Whether this process, and so belay, has a capability. */
export const has = (bit: bigint): boolean =>
  (BigInt(`0x${ownStatus("CapEff")}`) & (1n << bit)) !== 0n;

/** Fields of /proc/self/status, in order. */
export async function status(bundle: Bundle, ...fields: string[]): Promise<string[]> {
  const text = await bundle.ok("cat /proc/self/status");
  return fields.map((field) => new RegExp(`^${field}:(.*)$`, "m").exec(text)?.[1]?.trim() ?? "");
}
