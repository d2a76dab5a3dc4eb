import { alignmentOf, DbusFormatError, splitSignature } from "./signature.ts";

/** A value with its type. */
export class Variant {
  /** @param type One single complete type. */
  constructor(readonly type: string, readonly value: DbusValue) {}
}

/**
 * A value on the bus: 64-bit numbers are bigint, an array of bytes a Uint8Array, arrays, structs and dictionaries'
 * entries are arrays. Which it is says the signature.
 */
export type DbusValue =
  | string
  | number
  | bigint
  | boolean
  | Uint8Array
  | Variant
  | readonly DbusValue[];

/** The longest message that belay sends or takes, in bytes; the specification allows 128 MiB. */
export const LARGEST_MESSAGE = 1 << 20;

/** Lays values out, little-endian, from an 8-aligned start. @throws DbusFormatError when one does not fit its type. */
export function encodeValues(signature: string, values: readonly DbusValue[]): Uint8Array {
  const types = splitSignature(signature);
  if (types.length !== values.length) {
    throw new DbusFormatError(`${signature}: ${types.length} types for ${values.length} values`);
  }
  const writer = new Writer();
  types.forEach((type, i) => writer.value(type, values[i]));
  return writer.taken();
}

const encoder = new TextEncoder();

class Writer {
  #bytes = new Uint8Array(512);
  #view = new DataView(this.#bytes.buffer);
  #used = 0;

  taken(): Uint8Array {
    return this.#bytes.slice(0, this.#used);
  }

  value(type: string, value: DbusValue | undefined): void {
    this.#align(alignmentOf(type));
    const wrong = () => new DbusFormatError(`${JSON.stringify(type)} cannot be ${shown(value)}`);
    switch (type[0]) {
      case "b":
        if (typeof value !== "boolean") throw wrong();
        return this.#number("u", value ? 1 : 0);
      case "y":
      case "n":
      case "q":
      case "i":
      case "u":
      case "h":
      case "d":
        if (typeof value !== "number") throw wrong();
        if (type !== "d" && !fits(type, value)) throw wrong();
        return this.#number(type, value);
      case "x":
      case "t": {
        if (typeof value !== "bigint") throw wrong();
        const clipped = type === "x" ? BigInt.asIntN(64, value) : BigInt.asUintN(64, value);
        if (clipped !== value) throw wrong();
        this.#room(8);
        this.#view.setBigUint64(this.#used - 8, BigInt.asUintN(64, value), true);
        return;
      }
      case "s":
      case "o":
      case "g":
        if (typeof value !== "string" || value.includes("\0")) throw wrong();
        return this.#string(type, value);
      case "v":
        if (!(value instanceof Variant) || splitSignature(value.type).length !== 1) throw wrong();
        this.#string("g", value.type);
        return this.value(value.type, value.value);
      case "a":
        if (type === "ay" && value instanceof Uint8Array) {
          return this.#array("y", () => this.#raw(value));
        }
        if (!Array.isArray(value)) throw wrong();
        return this.#array(type.slice(1), () => {
          for (const each of value) this.value(type.slice(1), each);
        });
      default: { // a struct, or a dictionary's entry
        const members = splitSignature(type.slice(1, -1));
        if (!Array.isArray(value) || value.length !== members.length) throw wrong();
        members.forEach((member, i) => this.value(member, value[i]));
      }
    }
  }

  #array(type: string, elements: () => void): void {
    this.#number("u", 0);
    const at = this.#used - 4;
    this.#align(alignmentOf(type)); // which does not count
    const start = this.#used;
    elements();
    this.#view.setUint32(at, this.#used - start, true);
  }

  #string(type: string, text: string): void {
    const bytes = encoder.encode(text);
    if (type === "g" && bytes.length > 255) throw new DbusFormatError(`${text}: too long`);
    this.#number(type === "g" ? "y" : "u", bytes.length);
    this.#raw(bytes);
    this.#room(1);
  }

  #raw(bytes: Uint8Array): void {
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.#used - bytes.length);
  }

  #number(type: string, value: number): void {
    const size = alignmentOf(type);
    this.#room(size);
    const at = this.#used - size;
    if (type === "d") this.#view.setFloat64(at, value, true);
    else if (size === 1) this.#view.setUint8(at, value);
    else if (size === 2) this.#view.setUint16(at, value & 0xffff, true);
    else this.#view.setUint32(at, value >>> 0, true);
  }

  #align(to: number): void {
    this.#room(-this.#used & (to - 1));
  }

  /** Takes zeroed bytes. */
  #room(size: number): void {
    this.#used += size;
    if (this.#used > LARGEST_MESSAGE) throw new DbusFormatError("a message of more than 1 MiB");
    if (this.#used <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#used));
    larger.set(this.#bytes);
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}

const RANGES: Readonly<Record<string, readonly [number, number]>> = {
  ...{ y: [0, 0xff], n: [-0x8000, 0x7fff], q: [0, 0xffff], i: [-0x80000000, 0x7fffffff] },
  ...{ u: [0, 0xffffffff], h: [0, 0xffffffff] },
};

function fits(type: string, value: number): boolean {
  const [least = 0, most = 0] = RANGES[type] ?? [];
  return Number.isInteger(value) && value >= least && value <= most;
}

function shown(value: DbusValue | undefined): string {
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}
