import { ValidationError } from "./validation_error.ts";

/** The version of the OCI runtime specification that belay implements, written by `belay spec`. */
export const OCI_VERSION = "1.3.0";

const NEWEST_MINOR = 3;

/**
 * Accepts the SemVer of a config.json that belay can run: 1.0.x to 1.3.x, pre-releases and builds
 * included (`1.0.2-dev` is what runc 1.1 writes).
 * A newer minor version is refused, because its fields might be ignored.
 * Source: config.md, "Specification version".
 *
 * @throws {ValidationError}
 */
export function checkOciVersion(version: string, at: string): string {
  const match = /^(\d+)\.(\d+)\.\d+(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?$/.exec(version);
  if (match === null) {
    throw new ValidationError(at, `must be a version like "${OCI_VERSION}", got "${version}"`);
  }
  if (Number(match[1]) !== 1 || Number(match[2]) > NEWEST_MINOR) {
    throw new ValidationError(
      at,
      `belay runs versions 1.0 to 1.${NEWEST_MINOR} of the runtime specification, got "${version}"`,
    );
  }
  return version;
}
