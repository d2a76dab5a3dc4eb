import { type DbusValue, Variant } from "./encode.ts";
import { alignmentOf, DbusFormatError, splitSignature } from "./signature.ts";

/** How deep values may lie in variants: each brings a signature of its own. */
const DEEPEST_VARIANT = 64;

/**
 * Reads values from an 8-aligned start. Whoever sent the bytes may be anybody: each length is held against what is
 * there before it is used.
 * @throws DbusFormatError
 */
export function decodeValues(
  signature: string,
  bytes: Uint8Array,
  littleEndian = true,
): DbusValue[] {
  const reader = new Reader(bytes, littleEndian);
  const values = splitSignature(signature).map((type) => reader.value(type, 0));
  if (reader.left > 0) throw new DbusFormatError(`${reader.left} bytes behind ${signature}`);
  return values;
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A cursor over bytes. */
class Reader {
  readonly #view: DataView;
  #at = 0;

  constructor(private readonly bytes: Uint8Array, private readonly little: boolean) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get left(): number {
    return this.bytes.length - this.#at;
  }

  value(type: string, depth: number): DbusValue {
    this.#align(alignmentOf(type));
    switch (type[0]) {
      case "y":
        return this.#view.getUint8(this.#take(1));
      case "b": {
        const number = this.#uint32();
        if (number > 1) throw new DbusFormatError(`a truth of ${number}`);
        return number === 1;
      }
      case "n":
        return this.#view.getInt16(this.#take(2), this.little);
      case "q":
        return this.#view.getUint16(this.#take(2), this.little);
      case "i":
        return this.#view.getInt32(this.#take(4), this.little);
      case "u":
      case "h":
        return this.#uint32();
      case "x":
        return this.#view.getBigInt64(this.#take(8), this.little);
      case "t":
        return this.#view.getBigUint64(this.#take(8), this.little);
      case "d":
        return this.#view.getFloat64(this.#take(8), this.little);
      case "s":
      case "o":
        return this.#string(this.#uint32());
      case "g":
        return this.#string(this.#view.getUint8(this.#take(1)));
      case "v":
        return this.#variant(depth);
      case "a":
        return this.#array(type.slice(1), depth);
      default:
        return splitSignature(type.slice(1, -1)).map((member) => this.value(member, depth));
    }
  }

  #variant(depth: number): Variant {
    if (depth >= DEEPEST_VARIANT) throw new DbusFormatError("variants too deep in each other");
    const signature = this.#string(this.#view.getUint8(this.#take(1)));
    const [type, more] = splitSignature(signature);
    if (type === undefined || more !== undefined) {
      throw new DbusFormatError(`${JSON.stringify(signature)}: a variant of not one type`);
    }
    return new Variant(type, this.value(type, depth + 1));
  }

  #array(type: string, depth: number): DbusValue {
    const size = this.#uint32();
    this.#align(alignmentOf(type));
    if (type === "y") {
      const at = this.#take(size);
      return this.bytes.slice(at, at + size);
    }
    const end = this.#at + size;
    if (end > this.bytes.length) throw cut();
    const values: DbusValue[] = [];
    while (this.#at < end) values.push(this.value(type, depth));
    if (this.#at !== end) throw new DbusFormatError("an array that ends inside of an element");
    return values;
  }

  #string(length: number): string {
    const at = this.#take(length + 1);
    const text = this.bytes.subarray(at, at + length);
    if (this.bytes[at + length] !== 0 || text.includes(0)) {
      throw new DbusFormatError("a string with a NUL in it, or without one behind it");
    }
    try {
      return decoder.decode(text);
    } catch (cause) {
      throw new DbusFormatError("a string that is not UTF-8", { cause });
    }
  }

  #uint32(): number {
    return this.#view.getUint32(this.#take(4), this.little);
  }

  #align(to: number): void {
    const at = this.#take(-this.#at & (to - 1));
    for (let i = at; i < this.#at; i++) {
      if (this.bytes[i] !== 0) throw new DbusFormatError("padding that is not zero");
    }
  }

  #take(size: number): number {
    const at = this.#at;
    if (size > this.bytes.length - at) throw cut();
    this.#at += size;
    return at;
  }
}

function cut(): DbusFormatError {
  return new DbusFormatError("it ends in the middle of a value");
}
