import { OCI_VERSION } from "../spec/oci_version.ts";
import { writeStdout } from "./write_stdout.ts";

/** belay's version: the one in deno.json. */
export const BELAY_VERSION = "0.1.0";

/**
 * The commit that was built. `scripts/build.ts` puts it here, in the bundle: it replaces this very
 * text and fails when it does not find it once. So a build never tells the wrong commit, and what
 * runs from source tells that it does.
 */
const COMMIT = "@BELAY_COMMIT@";

/** Prints the text of `belay --version` and returns exit code 0. */
export function printVersion(): number {
  writeStdout(versionText());
  return 0;
}

/**
 * The text of `belay --version`, in runc's shape: dockerd and podman read the first line,
 * "commit: " and "spec: ".
 */
export function versionText(): string {
  const fromSource = COMMIT.startsWith("@");
  const build = Deno.build.standalone
    ? "compiled"
    : `${fromSource ? "source" : "launcher"} (${Deno.execPath()})`;
  return [
    `belay version ${BELAY_VERSION}`,
    `commit: ${fromSource ? "unknown, runs from source" : COMMIT}`,
    `spec: ${OCI_VERSION}`,
    `deno: ${Deno.version.deno}`,
    `v8: ${Deno.version.v8}`,
    `build: ${build}`,
    "",
  ].join("\n");
}
