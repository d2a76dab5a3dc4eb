import { SPEC } from "./spec_schema.ts";
import type { Spec } from "./types.ts";
import { validateSpec } from "./validate_spec.ts";

export type { Spec } from "./types.ts";

/** What config.json says, and what a person should know about it. */
export interface ParsedSpec {
  readonly spec: Spec;
  /** One line each, starting with the field: unknown fields, deprecated and dropped things. */
  readonly warnings: string[];
}

/**
 * Checks a parsed config.json completely, without looking at the system, and returns it in the
 * form that belay works with. Take the JSON from `parseJson` to keep 64-bit numbers exact.
 *
 * @throws {ValidationError} naming the first field that is wrong or not supported
 */
export function parseSpec(json: unknown): ParsedSpec {
  const warnings: string[] = [];
  const spec = SPEC.parse(json, "", warnings);
  validateSpec(spec, warnings);
  return { spec, warnings };
}
