import { describeJsonError } from "./json_error.ts";
import { ValidationError } from "./validation_error.ts";

/** What V8 passes to a reviver as its third argument (ECMAScript, "JSON.parse source text access"). */
interface ReviverContext {
  readonly source?: string;
}
type Reviver = (key: string, value: unknown, context: ReviverContext) => unknown;

/**
 * JSON.parse, but a whole number that a JavaScript number cannot hold exactly is a bigint:
 * RLIM_INFINITY, 18446744073709551615, must not become 18446744073709552000.
 *
 * @throws {ValidationError} naming `file` and the line and column where it stops to be JSON
 */
export function parseJson(text: string, file: string): unknown {
  try {
    // A reviver makes parsing several times slower, and hardly any file has such a number.
    if (!/\d{16}/.test(text)) return JSON.parse(text);
    return JSON.parse(text, exactInteger as Parameters<typeof JSON.parse>[1]);
  } catch (cause) {
    throw new ValidationError(file, `is not JSON: ${describeJsonError(text)}`, { cause });
  }
}

const exactInteger: Reviver = (_key, value, { source }) =>
  typeof value === "number" && !Number.isSafeInteger(value) && source !== undefined &&
    /^-?\d+$/.test(source)
    ? BigInt(source)
    : value;
