import { readSmall } from "../../ffi/feature_probes.ts";
import { probeFeatures } from "../../ffi/features.ts";
import { Host } from "../../ffi/host.ts";
import { checkReport, renderReport } from "../check/report.ts";
import type { Invocation } from "../cli/command.ts";
import { writeStdout } from "../cli/write_stdout.ts";

/**
 * `belay check`: what this kernel offers and which rung of each ladder is used, as a table or as a `CheckReport` in
 * JSON. Root is not needed; what cannot be seen without it is said. Nothing is changed.
 *
 * @returns 1 when something is missing without which belay cannot run.
 */
export function run({ globals, flags }: Invocation): number {
  // The state root may not be there yet, and the file in it is only for kernels that forbid executable memfds.
  const host = new Host(exists(globals.root) ? globals.root : "/tmp");
  const report = checkReport(probeFeatures(host), {
    kernel: readSmall(host.thread, "/proc/sys/kernel/osrelease") ?? "unknown",
    arch: Deno.build.arch,
    root: Deno.uid() === 0,
  });
  writeStdout(flags.bool("json") ? `${JSON.stringify(report, null, 2)}\n` : renderReport(report));
  return report.ok ? 0 : 1;
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.PermissionDenied) {
      return false; // before the first container there is none
    }
    throw error;
  }
}
