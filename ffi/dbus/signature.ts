/** Bytes that are no D-Bus message, or values that do not fit their signature. */
export class DbusFormatError extends Error {
  override readonly name = "DbusFormatError";
}

/** How many arrays, and how many structs, may lie in each other (D-Bus specification, "Valid Signatures"). */
const DEEPEST = 32;
/** A signature's length is one byte. */
const LONGEST = 255;

/** The alignment of each type, by its code. */
const ALIGNMENT: Readonly<Record<string, number>> = {
  ...{ y: 1, b: 4, n: 2, q: 2, i: 4, u: 4, x: 8, t: 8, d: 8, h: 4 },
  ...{ s: 4, o: 4, g: 1, a: 4, v: 1, "(": 8, "{": 8 },
};

/** What a value of this type is aligned to. */
export function alignmentOf(type: string): number {
  return ALIGNMENT[type[0] ?? ""] ?? 1;
}

/** The single complete types of a signature: `["s", "a(sv)"]` for `sa(sv)`. @throws DbusFormatError */
export function splitSignature(signature: string): string[] {
  if (signature.length > LONGEST) throw new DbusFormatError("a signature of more than 255 bytes");
  const types: string[] = [];
  for (let at = 0; at < signature.length;) {
    const end = endOfType(signature, at, 0, 0);
    types.push(signature.slice(at, end));
    at = end;
  }
  return types;
}

function endOfType(signature: string, at: number, arrays: number, structs: number): number {
  const code = signature[at];
  if (arrays > DEEPEST || structs > DEEPEST) {
    throw new DbusFormatError(`${signature}: types more than ${DEEPEST} deep`);
  }
  if (code === "a") {
    if (signature[at + 1] === "{") return endOfEntry(signature, at + 2, arrays + 1, structs + 1);
    return endOfType(signature, at + 1, arrays + 1, structs);
  }
  if (code === "(") {
    let end = at + 1;
    do end = endOfType(signature, end, arrays, structs + 1); while (signature[end] !== ")");
    return end + 1;
  }
  if (code === undefined || !"ybnqiuxtdhsogv".includes(code)) {
    throw new DbusFormatError(`${JSON.stringify(signature)}: no type at ${at}`);
  }
  return at + 1;
}

function endOfEntry(signature: string, at: number, arrays: number, structs: number): number {
  const key = signature[at];
  if (key === undefined || !"ybnqiuxtdhsog".includes(key)) {
    throw new DbusFormatError(`${JSON.stringify(signature)}: a key that is no basic type`);
  }
  const end = endOfType(signature, at + 1, arrays, structs);
  if (signature[end] !== "}") {
    throw new DbusFormatError(`${JSON.stringify(signature)}: an entry that does not end`);
  }
  return end + 1;
}
