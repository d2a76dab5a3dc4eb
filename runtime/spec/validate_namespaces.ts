import type { LinuxNamespace, LinuxNamespaceType, Spec } from "./types.ts";
import { ValidationError } from "./validation_error.ts";

/** The entry of `linux.namespaces` of this type, if there is one. */
export function namespaceOf(spec: Spec, type: LinuxNamespaceType): LinuxNamespace | undefined {
  return spec.linux.namespaces.find((namespace) => namespace.type === type);
}

/**
 * Each type at most once, and every field that changes a namespace has one of its own to change.
 *
 * @throws {ValidationError}
 */
export function validateNamespaces(spec: Spec): void {
  const { namespaces, maskedPaths, readonlyPaths, timeOffsets } = spec.linux;
  const seen = new Map<LinuxNamespaceType, number>();
  for (const [i, { type }] of namespaces.entries()) {
    const first = seen.get(type);
    if (first !== undefined) {
      throw new ValidationError(
        `linux.namespaces[${i}].type`,
        `"${type}" is there already, as linux.namespaces[${first}]; each type may be given once`,
      );
    }
    seen.set(type, i);
  }

  const needs = (field: string, isGiven: boolean, type: LinuxNamespaceType): void => {
    if (!isGiven || seen.has(type)) return;
    throw new ValidationError(
      field,
      `needs a namespace of type "${type}" in linux.namespaces; it would change the host's`,
    );
  };
  needs("hostname", spec.hostname !== undefined, "uts");
  needs("domainname", spec.domainname !== undefined, "uts");
  needs("linux.maskedPaths", maskedPaths.length > 0, "mount");
  needs("linux.readonlyPaths", readonlyPaths.length > 0, "mount");
  needs("linux.timeOffsets", Object.keys(timeOffsets).length > 0, "time");
  if (!seen.has("mount")) {
    throw new ValidationError(
      "linux.namespaces",
      `must have a namespace of type "mount"; containers without one are not supported yet`,
    );
  }
  if (Object.keys(timeOffsets).length > 0 && namespaceOf(spec, "time")?.path !== undefined) {
    throw new ValidationError(
      "linux.timeOffsets",
      "can be set in a new time namespace only; linux.namespaces joins one by path",
    );
  }
}
