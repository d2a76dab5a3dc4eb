const SPACE = /[ \t\n\r]*/y;
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;
const SCALAR = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.+-])|(?:true|false|null)(?!\w)/y;

/** What may come next, as it is told to a person. */
const WANTED = {
  value: "a value",
  valueOrEnd: `a value or "]"`,
  key: "a field name in double quotes",
  keyOrEnd: `a field name in double quotes or "}"`,
  colon: `":"`,
  comma: `"," or a closing bracket`,
  text: "the end of a string",
  end: "the end of the file",
} as const;

/**
 * Describes the first place where `text` violates the grammar of JSON (RFC 8259): `line 3, column
 * 7: expected ":", got "}"`. V8's own message tells the place only sometimes.
 *
 * It walks with a stack of closing brackets instead of calling itself, so that deep nesting cannot
 * end the program's stack.
 */
export function describeJsonError(text: string): string {
  const open: string[] = [];
  let at = 0;
  let next = "value" as keyof typeof WANTED;
  let inString = false;

  const accept = (pattern: RegExp): boolean => {
    pattern.lastIndex = at;
    if (!pattern.test(text)) return false;
    at = pattern.lastIndex;
    return true;
  };
  const acceptString = (): boolean => {
    if (text[at] !== '"') return false;
    inString = true;
    at++;
    while (at < text.length && text[at] !== '"') {
      if (text[at] !== "\\" && text.charCodeAt(at) >= 0x20) at++;
      else if (!accept(ESCAPE)) return false;
    }
    if (at === text.length) return false;
    at++;
    inString = false;
    return true;
  };
  const close = (): void => {
    open.pop();
    next = open.length === 0 ? "end" : "comma";
  };
  /** One step; false when what is there is not what may come next. */
  const step = (): boolean => {
    accept(SPACE);
    const char = text[at];
    const closing = open.at(-1);
    switch (next) {
      case "colon":
        if (char !== ":") return false;
        next = "value";
        break;
      case "comma":
        if (char === ",") next = closing === "}" ? "key" : "value";
        else if (char === closing) close();
        else return false;
        break;
      case "end":
        return false;
      case "key":
      case "keyOrEnd":
        if (next === "keyOrEnd" && char === "}") {
          close();
          break;
        }
        if (!acceptString()) return false;
        next = "colon";
        return true;
      default:
        if (char === "{" || char === "[") {
          open.push(char === "{" ? "}" : "]");
          next = char === "{" ? "keyOrEnd" : "valueOrEnd";
        } else if (next === "valueOrEnd" && char === "]") {
          close();
        } else {
          if (!acceptString() && (inString || !accept(SCALAR))) return false;
          next = open.length === 0 ? "end" : "comma";
          return true;
        }
    }
    at++;
    return true;
  };

  while (step());
  const before = text.slice(0, at);
  const line = before.split("\n").length;
  const column = at - before.lastIndexOf("\n");
  const found = at >= text.length ? "the end of the file" : JSON.stringify(text[at]);
  const wanted = WANTED[inString ? "text" : next];
  return `line ${line}, column ${column}: expected ${wanted}, got ${found}`;
}
