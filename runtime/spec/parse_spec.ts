import { parseExactJson, parseJson } from "./parse_json.ts";
import { SPEC } from "./spec_schema.ts";
import type { Spec } from "./types.ts";
import { validateSpec } from "./validate_spec.ts";
import { InexactNumber } from "./validation_error.ts";

export type { Spec } from "./types.ts";

/** What config.json says, and what a person should know about it. */
export interface ParsedSpec {
  /** The configuration, complete: see types.ts for its form. */
  readonly spec: Spec;
  /** One line each, starting with the field: unknown fields, deprecated and dropped things. */
  readonly warnings: string[];
}

/**
 * Checks a config.json that was parsed already, completely and without looking at the system, and
 * returns it in the form that belay works with.
 *
 * @throws {ValidationError} naming the first field that is wrong or not supported
 * @throws {InexactNumber} a 64-bit number is beyond 2^53 and no bigint: it may not be exact
 */
export function parseSpec(json: unknown): ParsedSpec {
  const warnings: string[] = [];
  const spec = SPEC.parse(json, "", warnings);
  validateSpec(spec, warnings);
  return { spec, warnings };
}

/**
 * Like {@link parseSpec}, from the text of `file`. 64-bit numbers are exact.
 *
 * @throws {ValidationError} also when the text is not JSON; then the field is `file`
 */
export function parseSpecText(text: string, file: string): ParsedSpec {
  try {
    return parseSpec(parseJson(text, file));
  } catch (error) {
    if (!(error instanceof InexactNumber)) throw error;
    // Hardly any file has such a number, and exact parsing takes several times as long.
    return parseSpec(parseExactJson(text, file));
  }
}
