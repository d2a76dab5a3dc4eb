import type { Type } from "./schema.ts";
import { preview, ValidationError } from "./validation_error.ts";

/** RLIM_INFINITY, and the largest uint64 (linux/resource.h). */
export const UINT64_MAX = 2n ** 64n - 1n;
const INT64_MAX = 2n ** 63n - 1n;

/** (uid_t)-1 is "no id" for every system call that takes one, so it is not an id. */
const LARGEST_ID = 2 ** 32 - 2;

/** Text. NUL is refused, because nearly every string of config.json becomes a C string. */
export function string(): Type<string> {
  return { name: "string", unset: "", parse: parseString };
}

function parseString(value: unknown, at: string): string {
  if (typeof value !== "string") {
    throw new ValidationError(at, `must be a string, got ${preview(value)}`);
  }
  if (value.includes("\0")) {
    throw new ValidationError(at, "must not contain a NUL character");
  }
  return value;
}

/** Text of at least one character. */
export function nonEmpty(): Type<string> {
  return {
    name: "string",
    parse(value, at) {
      const text = parseString(value, at);
      if (text !== "") return text;
      throw new ValidationError(at, "must not be empty");
    },
  };
}

/** A path from the root on; `..` in it is left to those who resolve it. */
export function absolutePath(): Type<string> {
  return {
    name: "absolute path",
    unset: "",
    parse(value, at) {
      const path = parseString(value, at);
      if (path.startsWith("/")) return path;
      throw new ValidationError(at, `must be an absolute path, got ${preview(path)}`);
    },
  };
}

/** One of these words. */
export function oneOf<const W extends string>(...words: readonly W[]): Type<W> {
  return {
    name: `one of ${words.join(", ")}`,
    unset: "",
    parse(value, at) {
      const word = words.find((allowed) => allowed === value);
      if (word !== undefined) return word;
      throw new ValidationError(at, `must be one of ${words.join(", ")}; got ${preview(value)}`);
    },
  };
}

/** true or false. */
export function bool(): Type<boolean> {
  return {
    name: "bool",
    parse(value, at) {
      if (typeof value === "boolean") return value;
      throw new ValidationError(at, `must be true or false, got ${preview(value)}`);
    },
  };
}

/** A whole number that always fits a JavaScript number: the specification's 32-bit types. */
export function integer(name: string, min: number, max: number): Type<number> {
  return {
    name,
    parse(value, at) {
      if (typeof value === "number" && Number.isInteger(value) && value >= min && value <= max) {
        return value === 0 ? 0 : value; // -0 is 0
      }
      throw new ValidationError(
        at,
        `must be a whole number from ${min} to ${max}, got ${preview(value)}`,
      );
    },
  };
}

/** An unsigned 32-bit number. */
export function uint32(): Type<number> {
  return integer("uint32", 0, 2 ** 32 - 1);
}

/** A user or group id: uint32 without the largest, which the kernel reads as "none". */
export function id(): Type<number> {
  return integer("uint32", 0, LARGEST_ID);
}

/**
 * A 64-bit number, always a bigint, so that 18446744073709551615 stays what was written.
 * `parseJson` delivers what is too large for a number as a bigint; a caller with a plain
 * JSON.parse has 2^64 where the file had 2^64 - 1 and that is put right here, too.
 */
function integer64(name: string, min: bigint, max: bigint, ceiling: bigint): Type<bigint> {
  return {
    name,
    parse(value, at) {
      if (typeof value === "bigint" || (typeof value === "number" && Number.isInteger(value))) {
        const exact = BigInt(value);
        const mended = typeof value === "number" && exact === ceiling + 1n ? ceiling : exact;
        if (mended >= min && mended <= max) return mended;
      }
      throw new ValidationError(
        at,
        `must be a whole number from ${min} to ${max}, got ${preview(value)}`,
      );
    },
  };
}

/** A signed 64-bit number, as a bigint. `min` is -1 where only "unlimited" is below zero. */
export function int64(min: bigint = -(2n ** 63n)): Type<bigint> {
  return integer64("int64", min, INT64_MAX, INT64_MAX);
}

/** An unsigned 64-bit number, as a bigint. */
export function uint64(max: bigint = UINT64_MAX): Type<bigint> {
  return integer64("uint64", 0n, max, UINT64_MAX);
}
