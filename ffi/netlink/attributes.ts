/**
 * Attributes: how netlink says things (netlink(7), linux/netlink.h, struct nlattr). Each is a length, a type, and
 * bytes, which may be attributes again; each begins at a multiple of four.
 *
 * @module
 */
import { NLA_F } from "../abi/rtnetlink.ts";

const HEADER_SIZE = 4;
const LARGEST = 0xffff;

/** Bytes that are no netlink. Only a kernel that nobody has seen sends them, or somebody who is no kernel. */
export class NetlinkFormatError extends Error {
  override readonly name = "NetlinkFormatError";
}

/** An attribute to send. */
export interface Attribute {
  readonly type: number;
  readonly bytes: Uint8Array;
}

/** A number of 8 bits. */
export function u8(type: number, value: number): Attribute {
  return { type, bytes: Uint8Array.of(value) };
}

/** A number of 32 bits. */
export function u32(type: number, value: number): Attribute {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return { type, bytes };
}

/** Text with a NUL at its end, which is how names are said. @throws TypeError for text with a NUL in it. */
export function text(type: number, value: string): Attribute {
  if (value.includes("\0")) throw new TypeError(`${JSON.stringify(value)}: a NUL in a name`);
  return { type, bytes: new TextEncoder().encode(`${value}\0`) };
}

/** Text without a NUL: the kind of a link. */
export function word(type: number, value: string): Attribute {
  return { type, bytes: new TextEncoder().encode(value) };
}

/** Bytes as they are: an address. */
export function raw(type: number, bytes: Uint8Array): Attribute {
  return { type, bytes };
}

/** Attributes in an attribute, behind a fixed part where there is one. */
export function nest(
  type: number,
  attributes: readonly Attribute[],
  fixed = new Uint8Array(),
): Attribute {
  return { type, bytes: joined([fixed, encodeAttributes(attributes)]) };
}

/** Attributes one behind the other. @throws RangeError for one that its length cannot tell. */
export function encodeAttributes(attributes: readonly Attribute[]): Uint8Array {
  const size = attributes.reduce((sum, { bytes }) => sum + aligned(HEADER_SIZE + bytes.length), 0);
  const out = new Uint8Array(size);
  const view = new DataView(out.buffer);
  let at = 0;
  for (const { type, bytes } of attributes) {
    const length = HEADER_SIZE + bytes.length;
    if (length > LARGEST) throw new RangeError(`attribute ${type}: ${bytes.length} bytes`);
    view.setUint16(at, length, true);
    view.setUint16(at + 2, type, true);
    out.set(bytes, at + HEADER_SIZE);
    at += aligned(length);
  }
  return out;
}

/** Attributes that came, by type; of those that came twice, the last. */
export class Attributes {
  readonly #byType: ReadonlyMap<number, Uint8Array>;

  /** @throws NetlinkFormatError */
  constructor(bytes: Uint8Array) {
    const found = new Map<number, Uint8Array>();
    for (const { type, bytes: value } of decodeAttributes(bytes)) found.set(type, value);
    this.#byType = found;
  }

  /** The types that came, ascending. */
  types(): number[] {
    return [...this.#byType.keys()].sort((a, b) => a - b);
  }

  /** The bytes of one, undefined when it did not come. */
  raw(type: number): Uint8Array | undefined {
    return this.#byType.get(type);
  }

  /** A number of 8 bits. */
  u8(type: number): number | undefined {
    return this.#view(type, 1)?.getUint8(0);
  }

  /** A number of 32 bits. */
  u32(type: number): number | undefined {
    return this.#view(type, 4)?.getUint32(0, true);
  }

  /** A number of 32 bits with a sign. */
  i32(type: number): number | undefined {
    return this.#view(type, 4)?.getInt32(0, true);
  }

  /** Text up to its NUL, or to its end. */
  text(type: number): string | undefined {
    const bytes = this.raw(type);
    if (bytes === undefined) return undefined;
    const end = bytes.indexOf(0);
    return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
  }

  /** Attributes in an attribute; none when it did not come. */
  nested(type: number): Attributes {
    return new Attributes(this.raw(type) ?? new Uint8Array());
  }

  #view(type: number, size: number): DataView | undefined {
    const bytes = this.raw(type);
    if (bytes === undefined) return undefined;
    if (bytes.length < size) {
      throw new NetlinkFormatError(`attribute ${type}: ${bytes.length} bytes for a number`);
    }
    return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }
}

/**
 * Attributes in order, views of the bytes. What follows the last whole one, less than a header, is ignored, as the
 * kernel's own parser does.
 * @throws NetlinkFormatError for one that says it is longer than what there is, or shorter than itself.
 */
export function decodeAttributes(bytes: Uint8Array): Attribute[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const found: Attribute[] = [];
  for (let at = 0; at + HEADER_SIZE <= bytes.length;) {
    const length = view.getUint16(at, true);
    const type = view.getUint16(at + 2, true) & ~(NLA_F.NLA_F_NESTED | NLA_F.NLA_F_NET_BYTEORDER);
    if (length < HEADER_SIZE || at + length > bytes.length) {
      throw new NetlinkFormatError(
        `attribute ${type}: ${length} bytes long, of ${bytes.length - at} that there are`,
      );
    }
    found.push({ type, bytes: bytes.subarray(at + HEADER_SIZE, at + length) });
    at += aligned(length);
  }
  return found;
}

/** The next multiple of four. */
export function aligned(size: number): number {
  return (size + 3) & ~3;
}

/** Bytes one behind the other. */
export function joined(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
