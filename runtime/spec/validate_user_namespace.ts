import { isMapped, mapProblem } from "../../ffi/id_map.ts";
import type { Spec } from "./types.ts";
import { namespaceOf } from "./validate_namespaces.ts";
import { ValidationError } from "./validation_error.ts";

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
    const wrong = mappings.length === 0 ? undefined : mapProblem(mappings, field);
    if (wrong !== undefined) throw new ValidationError(wrong.where, wrong.problem);
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
