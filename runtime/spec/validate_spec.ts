import type { Spec } from "./types.ts";
import { validateNamespaces } from "./validate_namespaces.ts";
import { validateProcess } from "./validate_process.ts";
import { validateResources } from "./validate_resources.ts";
import { validateSysctl } from "./validate_sysctl.ts";
import { validateUserNamespace } from "./validate_user_namespace.ts";
import { ValidationError } from "./validation_error.ts";

/** __NEW_UTS_LEN (linux/utsname.h): what sethostname(2) and setdomainname(2) take, in bytes. */
const LONGEST_NAME = 64;

/**
 * What no single field can tell: whether the fields fit together. Corrects `spec` in place where a
 * value has no meaning beside the others, and says so in `warnings`.
 *
 * @throws {ValidationError}
 */
export function validateSpec(spec: Spec, warnings: string[]): void {
  validateNamespaces(spec);
  validateUserNamespace(spec, warnings);
  for (const field of ["hostname", "domainname"] as const) validateName(field, spec[field]);
  validateSysctl(spec);
  validateProcess(spec.process, warnings);
  if (spec.linux.resources !== undefined) validateResources(spec.linux.resources, warnings);
}

function validateName(field: string, name: string | undefined): void {
  if (name === undefined || name.length * 3 <= LONGEST_NAME) return; // at most 3 bytes each
  const bytes = new TextEncoder().encode(name).length;
  if (bytes > LONGEST_NAME) {
    throw new ValidationError(field, `must have at most ${LONGEST_NAME} bytes, got ${bytes}`);
  }
}
