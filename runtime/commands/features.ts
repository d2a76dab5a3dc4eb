import type { Run } from "../cli/command.ts";
import { BELAY_VERSION } from "../cli/version.ts";
import { writeStdout } from "../cli/write_stdout.ts";
import { ociFeatures } from "../features/oci_features.ts";
import { seccompHere } from "../features/seccomp_here.ts";
import { hostCarriers } from "./host_carriers.ts";

/** `belay features`: what belay can do, for programs. */
export const run: Run = ({ globals, log }) => {
  const seccomp = seccompHere(hostCarriers(globals).thread, log);
  writeStdout(JSON.stringify(ociFeatures({ version: BELAY_VERSION, seccomp }), null, 4) + "\n");
  return 0;
};
