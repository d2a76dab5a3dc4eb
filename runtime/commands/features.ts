import type { Run } from "../cli/command.ts";
import { BELAY_VERSION } from "../cli/version.ts";
import { writeStdout } from "../cli/write_stdout.ts";
import { ociFeatures } from "../features/oci_features.ts";
import { seccompHere } from "../features/seccomp_here.ts";
import { hostThread } from "./host_thread.ts";

/** `belay features`: what belay can do, for programs. */
export const run: Run = ({ log }) => {
  const seccomp = seccompHere(hostThread(), log);
  writeStdout(JSON.stringify(ociFeatures({ version: BELAY_VERSION, seccomp }), null, 4) + "\n");
  return 0;
};
