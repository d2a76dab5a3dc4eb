import type { Spec } from "../spec/types.ts";
import { ValidationError } from "../spec/validation_error.ts";

const FIELD = "linux.cgroupsPath";
/** UNIT_NAME_MAX (systemd.unit(5)) counts the NUL. */
const LONGEST = 255;
/** What a unit's name is made of (systemd.unit(5)). */
const VALID = /^[A-Za-z0-9:_.@\\-]+$/;

/** Where a container's unit is to be. */
export interface UnitName {
  /** `docker-ID.scope` */
  readonly name: string;
  /** `system.slice` */
  readonly slice: string;
  /** Below the cgroup of systemd's manager: `/system.slice/docker-ID.scope`. */
  readonly path: string;
}

/**
 * Reads `slice:prefix:name`, which is what `linux.cgroupsPath` is with `--systemd-cgroup`: the scope
 * `prefix-name.scope` (without a prefix `name.scope`) in that slice. Without a path it is `:belay:ID`, and without a
 * slice the default, as with runc.
 * @param standard system.slice; user.slice of a user's systemd.
 * @throws {ValidationError}
 */
export function unitName(
  { linux }: Pick<Spec, "linux">,
  id: string,
  standard = "system.slice",
): UnitName {
  const given = linux.cgroupsPath ?? `:belay:${id}`;
  const parts = given.split(":");
  const [slice = "", prefix = "", name = ""] = parts;
  if (parts.length !== 3 || name === "") {
    const problem = `must be of the form slice:prefix:name with --systemd-cgroup, got "${given}"`;
    throw new ValidationError(FIELD, problem);
  }
  if (name.endsWith(".slice")) {
    throw new ValidationError(FIELD, "names a slice; a container's processes need a scope");
  }
  const scope = `${prefix === "" ? "" : `${prefix}-`}${name}.scope`;
  if (!VALID.test(scope) || scope.length >= LONGEST) {
    throw new ValidationError(
      FIELD,
      `"${scope}" is no name of a systemd unit: letters, digits and :_.@\\- are, ${
        LONGEST - 1
      } at most`,
    );
  }
  const whole = slice === "" ? standard : slice === "-" ? "-.slice" : slice;
  return { name: scope, slice: whole, path: `${slicePath(whole)}/${scope}` };
}

/**
 * Where a slice lies: `a-b.slice` is `/a.slice/a-b.slice`, and `-.slice`, the root, is "" (systemd.slice(5)).
 * @throws {ValidationError}
 */
export function slicePath(slice: string): string {
  if (slice === "-.slice") return "";
  const base = slice.endsWith(".slice") ? slice.slice(0, -".slice".length) : "";
  const parts = base.split("-");
  if (!VALID.test(base) || parts.includes("") || slice.length >= LONGEST) {
    const problem = `"${slice}" is no name of a systemd slice, such as a-b.slice`;
    throw new ValidationError(FIELD, problem);
  }
  return parts.map((_, i) => `/${parts.slice(0, i + 1).join("-")}.slice`).join("");
}
