import { describeJsonError } from "./json_error.ts";
import { ValidationError } from "./validation_error.ts";

/**
 * A reviver of JSON.parse, which replaces values; V8 tells it also how a number was written
 * (ECMAScript, "JSON.parse source text access").
 */
export type Reviver = (
  key: string,
  value: unknown,
  context: { readonly source?: string },
) => unknown;

/**
 * JSON.parse with a better error.
 *
 * @throws {ValidationError} naming `file` and the line and column where it stops to be JSON
 */
export function parseJson(text: string, file: string, reviver?: Reviver): unknown {
  try {
    return JSON.parse(text, reviver as Parameters<typeof JSON.parse>[1]);
  } catch {
    // V8's own words are no news beside these, and a SyntaxError as the cause would be told as a fault of belay's.
    throw new ValidationError(file, `is not JSON: ${describeJsonError(text)}`);
  }
}

/**
 * Like {@link parseJson}, but a whole number that a JavaScript number cannot hold is a bigint:
 * RLIM_INFINITY, 18446744073709551615, must not become 18446744073709552000.
 *
 * @throws {ValidationError}
 */
export function parseExactJson(text: string, file: string): unknown {
  return parseJson(text, file, exactInteger);
}

const exactInteger: Reviver = (_key, value, { source }) =>
  typeof value === "number" && !Number.isSafeInteger(value) && source !== undefined &&
    /^-?\d+$/.test(source)
    ? BigInt(source)
    : value;
