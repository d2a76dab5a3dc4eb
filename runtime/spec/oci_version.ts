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
  // Taken apart by hand: the first use of a regular expression costs more than all of this.
  const [major, minor, patch = "", ...more] = version.split(".");
  const patchNumber = String(Number.parseInt(patch));
  const suffix = patch.slice(patchNumber.length);
  const isVersion = isNumber(major) && isNumber(minor) && patch.startsWith(patchNumber) &&
    (suffix === "" ? more.length === 0 : suffix.startsWith("-") || suffix.startsWith("+"));
  if (!isVersion) {
    throw new ValidationError(at, `must be a version like "${OCI_VERSION}", got "${version}"`);
  }
  if (Number(major) !== 1 || Number(minor) > NEWEST_MINOR) {
    throw new ValidationError(
      at,
      `belay runs versions 1.0 to 1.${NEWEST_MINOR} of the runtime specification, got "${version}"`,
    );
  }
  return version;
}

/** A number as SemVer writes it, without leading zeros or a sign. */
function isNumber(text: string | undefined): boolean {
  return text !== undefined && String(Number.parseInt(text)) === text && !text.startsWith("-");
}
