/**
 * The kernel's own description of its types (/sys/kernel/btf/vmlinux; Documentation/bpf/btf.rst), as far as belay's
 * iterators ask: where members lie in their structs, and which numbers functions have.
 *
 * @module
 */

/** Kinds of types, of which these two are looked for. */
const KIND_STRUCT = 4;
const KIND_FUNC = 12;

/** 32-bit words that follow the first three of a type, by kind: a fixed number, and so many for each of `vlen`. */
const FIXED = [0, 1, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0];
const EACH = [0, 0, 0, 0, 3, 3, 2, 0, 0, 0, 0, 0, 0, 2, 0, 3, 0, 0, 0, 3];

const MAGIC = 0xeb9f;
const HEADER_SIZE = 24;

/** Bytes that are no BTF, or hold kinds of types that came after this was written. */
export class BtfError extends Error {
  override readonly name = "BtfError";
}

/** What was asked of a kernel's types, and found. */
export interface BtfAnswers {
  /** The numbers of functions, by name. */
  readonly functions: Readonly<Record<string, number>>;
  /** Offsets in bytes, by `struct.member`. Bit fields have none. */
  readonly members: Readonly<Record<string, number>>;
}

/**
 * Looks functions and members up, in one walk over all types: some 130,000, for ids are their places in the walk. What
 * there is not is left out. Of several structs of one name the first that has the member counts.
 * @param members As `struct.member`.
 * @throws BtfError
 */
export function searchBtf(
  bytes: Uint8Array,
  functions: readonly string[],
  members: readonly string[],
): BtfAnswers {
  const { words, names } = open(bytes);
  const offsetOf = (name: string) => names.indexOf(`\0${name}\0`) + 1;
  const wantedFunctions = new Map(functions.map((name) => [offsetOf(name), name]));
  const wantedStructs = new Map<number, Map<number, string>>();
  for (const member of members) {
    const [struct = "", name = ""] = member.split(".");
    const at = offsetOf(struct);
    if (!wantedStructs.has(at)) wantedStructs.set(at, new Map());
    wantedStructs.get(at)?.set(offsetOf(name), member);
  }
  const answers = {
    functions: {} as Record<string, number>,
    members: {} as Record<string, number>,
  };
  for (let at = 0, id = 1; at < words.length; id++) {
    const info = words[at + 1] ?? 0;
    const kind = (info >>> 24) & 31;
    const length = info & 0xffff;
    const name = words[at] ?? 0;
    if (name !== 0 && kind === KIND_FUNC) {
      const known = wantedFunctions.get(name);
      if (known !== undefined) answers.functions[known] = id;
    } else if (name !== 0 && kind === KIND_STRUCT) {
      const wanted = wantedStructs.get(name);
      for (let i = 0; wanted !== undefined && i < length; i++) {
        const known = wanted.get(words[at + 3 + i * 3] ?? 0);
        const bits = bitOffset(words[at + 5 + i * 3] ?? 0, info);
        if (known !== undefined && bits % 8 === 0) answers.members[known] ??= bits / 8;
      }
    }
    const fixed = FIXED[kind];
    if (fixed === undefined || kind === 0) {
      throw new BtfError(
        `the kernel's BTF holds types of a kind that belay does not know: ${kind}`,
      );
    }
    at += 3 + fixed + (EACH[kind] ?? 0) * length;
  }
  return answers;
}

/** With the flag in the struct's info the upper byte of an offset is a bit field's width. */
function bitOffset(offset: number, info: number): number {
  return info >>> 31 === 0 ? offset : offset >>> 24 === 0 ? offset & 0xffffff : NaN;
}

function open(bytes: Uint8Array): { words: Uint32Array; names: string } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < HEADER_SIZE || view.getUint16(0, true) !== MAGIC) {
    throw new BtfError("this is no BTF");
  }
  const [header = 0, typeOffset = 0, typeSize = 0, nameOffset = 0, nameSize = 0] = [1, 2, 3, 4, 5]
    .map((word) => view.getUint32(word * 4, true));
  const types = bytes.slice(header + typeOffset, header + typeOffset + typeSize);
  const text = bytes.subarray(header + nameOffset, header + nameOffset + nameSize);
  if (types.length < typeSize || text.length < nameSize) throw new BtfError("the BTF is cut short");
  return {
    words: new Uint32Array(types.buffer, 0, typeSize >>> 2),
    // One character for each byte: a place in the text is the offset that the types name.
    names: new TextDecoder("latin1").decode(text),
  };
}
