import type { IdMapping, Spec } from "./types.ts";
import { namespaceOf } from "./validate_namespaces.ts";
import { ValidationError } from "./validation_error.ts";

/** UID_GID_MAP_MAX_EXTENTS: lines that /proc/PID/uid_map takes (since Linux 4.15). */
const MOST_MAPPINGS = 340;

/**
 * Checks the id mappings against what the kernel will accept (user_namespaces(7)), and the ids
 * of the process against the mappings.
 *
 * Mappings beside the path of a user namespace are accepted, with a warning, because containerd
 * and CRI-O send both; who joins that namespace can compare them with its uid_map.
 *
 * @throws {ValidationError}
 */
export function validateUserNamespace(spec: Spec, warnings: string[]): void {
  const { uidMappings, gidMappings } = spec.linux;
  const namespace = namespaceOf(spec, "user");
  if (namespace === undefined && uidMappings.length === 0 && gidMappings.length === 0) return;
  const both = [["uid", uidMappings], ["gid", gidMappings]] as const;
  for (const [kind, mappings] of both) {
    const field = `linux.${kind}Mappings`;
    if (namespace === undefined && mappings.length > 0) {
      throw new ValidationError(field, `needs a namespace of type "user" in linux.namespaces`);
    }
    validateMappings(mappings, field);
    if (namespace === undefined) continue;
    if (namespace.path !== undefined) {
      if (mappings.length > 0) {
        warnings.push(`${field}: not applied: the user namespace that is joined has its own`);
      }
    } else if (mappings.length === 0) {
      throw new ValidationError(field, "is required for a new user namespace");
    } else if (!isMapped(0, mappings)) {
      throw new ValidationError(field, "must map id 0 of the container, which sets it up");
    }
  }
  if (namespace === undefined || namespace.path !== undefined) return;

  const { uid, gid, additionalGids } = spec.process.user;
  const ids = [
    ["uid", uid, uidMappings, "linux.uidMappings"],
    ["gid", gid, gidMappings, "linux.gidMappings"],
    ...additionalGids.map((group, i) =>
      [`additionalGids[${i}]`, group, gidMappings, "linux.gidMappings"] as const
    ),
  ] as const;
  for (const [name, value, mappings, list] of ids) {
    if (isMapped(value, mappings)) continue;
    throw new ValidationError(`process.user.${name}`, `${value} is not mapped by ${list}`);
  }
}

function isMapped(value: number, mappings: readonly IdMapping[]): boolean {
  return mappings.some(({ containerID, size }) =>
    value >= containerID && value < containerID + size
  );
}

function validateMappings(mappings: readonly IdMapping[], field: string): void {
  if (mappings.length > MOST_MAPPINGS) {
    throw new ValidationError(
      field,
      `may have ${MOST_MAPPINGS} entries at most, got ${mappings.length}`,
    );
  }
  for (const side of ["containerID", "hostID"] as const) {
    const sorted = [...mappings.entries()].sort(([, a], [, b]) => a[side] - b[side]);
    for (const [n, [i, mapping]] of sorted.entries()) {
      const before = sorted[n - 1];
      if (before === undefined || before[1][side] + before[1].size <= mapping[side]) continue;
      throw new ValidationError(
        `${field}[${i}].${side}`,
        `${mapping[side]} is in the range of ${field}[${
          before[0]
        }] already; ranges must not overlap`,
      );
    }
  }
}
