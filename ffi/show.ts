/**
 * How a call reads to a person: `openat2(#3, "etc/passwd", {O_PATH|O_CLOEXEC, RESOLVE_IN_ROOT}, 24)`.
 *
 * @module
 */
import { type Arg, type Call, Loaded, Place, Shown, Struct } from "./call.ts";

/** Characters of a string that are shown. */
const SHOWN_LENGTH = 80;

/** Names of single bits, in the order in which they are printed. */
export type FlagTable = Readonly<Record<string, number | bigint>>;

/** A number as the names of its bits: `MS_BIND|MS_REC`, with what has no name in hexadecimal; `0` for none. */
export function showFlags(value: number | bigint, table: FlagTable): string {
  let rest = BigInt(value);
  const names: string[] = [];
  for (const name in table) {
    const bits = BigInt(table[name] ?? 0);
    if (bits !== 0n && (rest & bits) === bits) {
      names.push(name);
      rest &= ~bits;
    }
  }
  if (rest !== 0n) names.push(`0x${rest.toString(16)}`);
  return names.length > 0 ? names.join("|") : "0";
}

/** An argument of named bits. Of a large table, what makes it: it is made when somebody looks. */
export function flags(value: number | bigint, table: FlagTable | (() => FlagTable)): Shown {
  return new Shown(value, () => showFlags(value, typeof table === "function" ? table() : table));
}

/** An argument that has a name of its own: a command, an option, a signal. */
export function named(value: number, table: Readonly<Record<string, number>>): Shown {
  return new Shown(value, () => {
    for (const name in table) if (table[name] === value) return name;
    return String(value);
  });
}

/** A mode of a file, in octal. */
export function octal(value: number): Shown {
  return new Shown(value, () => value === 0 ? "0" : `0${value.toString(8)}`);
}

function showArg(arg: Arg, nameOf: (earlier: Call<number>) => string): string {
  if (arg instanceof Shown) return arg.text();
  if (typeof arg === "number") return arg === -100 ? "AT_FDCWD" : String(arg);
  if (typeof arg === "bigint") return String(arg);
  if (typeof arg === "string") return showText(arg);
  if (arg instanceof Uint8Array) return showBytes(arg);
  if (arg instanceof Place) return `&out+${arg.offset}`;
  if (arg instanceof Struct) return arg.text ? arg.text() : arg.out ? "out" : `{${arg.size} bytes}`;
  if (arg instanceof Loaded) return "*out";
  return nameOf(arg);
}

/** Text in quotes; what is longer than a line is cut. */
export function showText(text: string): string {
  return text.length <= SHOWN_LENGTH
    ? JSON.stringify(text)
    : `${JSON.stringify(text.slice(0, SHOWN_LENGTH))}…`;
}

/** Bytes as text when they are text, else their length. */
function showBytes(bytes: Uint8Array): string {
  const text = new TextDecoder().decode(bytes.subarray(0, SHOWN_LENGTH + 1));
  // deno-lint-ignore no-control-regex -- control characters are what tells bytes from text
  if (/[\x00-\x08\x0e-\x1f\ufffd]/.test(text)) return `{${bytes.length} bytes}`;
  return showText(text);
}

/**
 * The call in one line.
 * @param nameOf How to name an earlier call whose result is an argument.
 */
export function showCall(
  made: Call<unknown>,
  nameOf: (earlier: Call<number>) => string = () => "fd",
): string {
  return `${made.name}(${made.args.map((arg) => showArg(arg, nameOf)).join(", ")})`;
}
