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
    throw new ValidationError(file, `is not JSON: ${whereItEnds(text)}`, { cause });
  }
}

const exactInteger: Reviver = (_key, value, { source }) =>
  typeof value === "number" && !Number.isSafeInteger(value) && source !== undefined &&
    /^-?\d+$/.test(source)
    ? BigInt(source)
    : value;

const SPACE = /[ \t\n\r]*/y;
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;
const SCALAR = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.+-])|(?:true|false|null)(?!\w)/y;

/**
 * Describes the first place where `text` violates the grammar of JSON. V8 says only sometimes
 * where that is, so the text is walked once more, with a stack of the brackets that are open.
 */
function whereItEnds(text: string): string {
  const open: string[] = [];
  let at = 0;
  const accept = (pattern: RegExp): boolean => {
    pattern.lastIndex = at;
    const found = pattern.test(text);
    if (found) at = pattern.lastIndex;
    return found;
  };
  const acceptChar = (char: string): boolean => {
    accept(SPACE);
    if (text[at] !== char) return false;
    at++;
    return true;
  };
  const acceptString = (): boolean => {
    if (text[at] !== '"') return false;
    for (at++; at < text.length && text[at] !== '"';) {
      const isPlain = text[at] !== "\\" && text.charCodeAt(at) >= 0x20;
      if (isPlain) at++;
      else if (!accept(ESCAPE)) return false;
    }
    return text[at++] === '"';
  };
  const key = (): string | undefined => {
    accept(SPACE);
    if (!acceptString()) return "a field name in double quotes";
    return acceptChar(":") ? undefined : `":"`;
  };

  let wanted: string | undefined;
  let closed = false; // the last thing read was a closing bracket
  do {
    if (!closed) {
      if (acceptChar("{")) {
        open.push("}");
        if (acceptChar("}")) closed = open.pop() !== undefined;
        else wanted = key();
        if (wanted !== undefined || !closed) continue;
      } else if (acceptChar("[")) {
        open.push("]");
        if (!acceptChar("]")) continue;
        closed = open.pop() !== undefined;
      } else {
        accept(SPACE);
        if (!acceptString() && !accept(SCALAR)) wanted = "a value";
      }
    }
    closed = false;
    const bracket = open.at(-1);
    if (wanted !== undefined || bracket === undefined) break;
    if (acceptChar(",")) wanted = bracket === "}" ? key() : undefined;
    else if (acceptChar(bracket)) closed = open.pop() !== undefined;
    else wanted = `"," or "${bracket}"`;
  } while (wanted === undefined);

  accept(SPACE);
  const before = text.slice(0, at);
  const line = before.split("\n").length;
  const column = at - before.lastIndexOf("\n");
  const found = at >= text.length ? "the end of the file" : JSON.stringify(text[at]);
  return `line ${line}, column ${column}: expected ${
    wanted ?? "the end of the file"
  }, got ${found}`;
}
