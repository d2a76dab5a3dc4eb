import type { Type } from "./schema.ts";
import { InexactNumber, preview, ValidationError } from "./validation_error.ts";

const INT64_MIN = -0x8000000000000000n;
const INT64_MAX = 0x7fffffffffffffffn;
const UINT64_MAX = 0xffffffffffffffffn;

/** (uid_t)-1 is "no id" for every system call that takes one, so it is not an id. */
const LARGEST_ID = 0xfffffffe;

function parseString(value: unknown, at: string): string {
  if (typeof value !== "string") {
    throw new ValidationError(at, `must be a string, got ${preview(value)}`);
  }
  if (value.includes("\0")) {
    throw new ValidationError(at, "must not contain a NUL character");
  }
  return value;
}

/** Text. NUL is refused, because nearly every string of config.json becomes a C string. */
export const string: Type<string> = { name: "string", unset: "", parse: parseString };

/** Text of at least one character. */
export const nonEmpty: Type<string> = {
  name: "string",
  parse(value, at) {
    const text = parseString(value, at);
    if (text !== "") return text;
    throw new ValidationError(at, "must not be empty");
  },
};

/** A path from the root on; `..` in it is left to those who resolve it. */
export const absolutePath: Type<string> = {
  name: "absolute path",
  unset: "",
  parse(value, at) {
    const path = parseString(value, at);
    if (path.startsWith("/")) return path;
    throw new ValidationError(at, `must be an absolute path, got ${preview(path)}`);
  },
};

/** true or false. */
export const bool: Type<boolean> = {
  name: "bool",
  parse(value, at) {
    if (typeof value === "boolean") return value;
    throw new ValidationError(at, `must be true or false, got ${preview(value)}`);
  },
};

/** One of these words. */
export function oneOf<const W extends string>(...words: readonly W[]): Type<W> {
  return {
    name: "string",
    words,
    unset: "",
    parse(value, at) {
      if (words.includes(value as W)) return value as W;
      throw new ValidationError(at, `must be one of ${words.join(", ")}; got ${preview(value)}`);
    },
  };
}

function outOfRange(at: string, min: number | bigint, max: number | bigint, got: unknown): never {
  throw new ValidationError(
    at,
    `must be a whole number from ${min} to ${max}, got ${preview(got)}`,
  );
}

/** A whole number that always fits a JavaScript number: the specification's 32-bit types. */
export function integer(name: string, min: number, max: number): Type<number> {
  return {
    name,
    parse(value, at) {
      const isWhole = typeof value === "number" && Number.isInteger(value);
      if (!isWhole || value < min || value > max) return outOfRange(at, min, max, value);
      return value === 0 ? 0 : value; // -0 is 0
    },
  };
}

/** An unsigned 32-bit number. */
export const uint32: Type<number> = integer("uint32", 0, 0xffffffff);

/** A user or group id: uint32 without the largest, which the kernel reads as "none". */
export const id: Type<number> = integer("uint32", 0, LARGEST_ID);

/**
 * A 64-bit number, always a bigint, so that 18446744073709551615 stays what was written.
 *
 * Its parser throws {@link InexactNumber} for a number that JSON.parse may have rounded.
 */
export function integer64(name: string, min: bigint, max: bigint): Type<bigint> {
  return {
    name,
    parse(value, at) {
      const isWhole = typeof value === "number" && Number.isInteger(value);
      if (isWhole && !Number.isSafeInteger(value)) throw new InexactNumber(at, value);
      if (!isWhole && typeof value !== "bigint") return outOfRange(at, min, max, value);
      const exact = BigInt(value);
      return exact >= min && exact <= max ? exact : outOfRange(at, min, max, exact);
    },
  };
}

/** A signed 64-bit number, as a bigint. */
export const int64: Type<bigint> = integer64("int64", INT64_MIN, INT64_MAX);

/** A signed 64-bit number of which -1, "unlimited", is the only negative one, as a bigint. */
export const amount: Type<bigint> = integer64("int64", -1n, INT64_MAX);

/** An unsigned 64-bit number, as a bigint; its largest is RLIM_INFINITY. */
export const uint64: Type<bigint> = integer64("uint64", 0n, UINT64_MAX);
