import { decodeValues } from "./decode.ts";
import { type DbusValue, encodeValues, LARGEST_MESSAGE, Variant } from "./encode.ts";
import { DbusFormatError } from "./signature.ts";

/** What a message is (D-Bus specification, "Message Format"). */
export const MESSAGE = { CALL: 1, RETURN: 2, ERROR: 3, SIGNAL: 4 } as const;

/** One message. Which names are there depends on its type. */
export interface DbusMessage {
  readonly type: number;
  readonly flags?: number;
  readonly serial: number;
  readonly path?: string;
  readonly interface?: string;
  readonly member?: string;
  readonly errorName?: string;
  readonly replySerial?: number;
  readonly destination?: string;
  readonly sender?: string;
  /** The types of `body`. */
  readonly signature?: string;
  readonly body: readonly DbusValue[];
}

/** Header fields: their names here and their types, by code from 1 on. */
const FIELDS = [
  ["path", "o"],
  ["interface", "s"],
  ["member", "s"],
  ["errorName", "s"],
  ["replySerial", "u"],
  ["destination", "s"],
  ["sender", "s"],
  ["signature", "g"],
] as const;

const HEADER = "yyyyuua(yv)";
const VERSION = 1;
const LITTLE = "l".charCodeAt(0);
const BIG = "B".charCodeAt(0);
/** Up to the length of the fields, which stands last in it. */
const FIXED_SIZE = 16;

/** Lays a message out, little-endian. @throws DbusFormatError */
export function encodeDbus(message: DbusMessage): Uint8Array {
  const body = encodeValues(message.signature ?? "", message.body);
  const fields = FIELDS.flatMap(([name, type], i) => {
    const value = message[name];
    return value === undefined ? [] : [[i + 1, new Variant(type, value)]];
  });
  const { type, flags = 0, serial } = message;
  const fixed = [LITTLE, type, flags, VERSION, body.length, serial];
  const header = encodeValues(HEADER, [...fixed, fields]);
  const start = (header.length + 7) & ~7;
  const whole = new Uint8Array(start + body.length);
  whole.set(header);
  whole.set(body, start);
  return whole;
}

/**
 * The length of the message that these bytes begin with; undefined while too few are there to know.
 * @throws DbusFormatError for what is no message, or one that is too long.
 */
export function dbusLength(bytes: Uint8Array): number | undefined {
  if (bytes.length < FIXED_SIZE) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const little = isLittle(bytes);
  const fields = view.getUint32(12, little);
  const body = view.getUint32(4, little);
  const length = FIXED_SIZE + Math.ceil(fields / 8) * 8 + body;
  if (length > LARGEST_MESSAGE) throw new DbusFormatError(`a message of ${length} bytes`);
  return length;
}

/** Reads one message, whole. @throws DbusFormatError */
export function decodeDbus(bytes: Uint8Array): DbusMessage {
  if (dbusLength(bytes) !== bytes.length) throw new DbusFormatError("not the bytes of one message");
  const little = isLittle(bytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const headerSize = FIXED_SIZE + view.getUint32(12, little);
  const header = decodeValues(HEADER, bytes.subarray(0, headerSize), little);
  const [, type, flags, version, , serial, fields] = header;
  if (version !== VERSION) throw new DbusFormatError(`version ${version} of the protocol`);
  const named: Record<string, DbusValue> = {};
  for (const field of Array.isArray(fields) ? fields : []) {
    const [code, variant] = field;
    const [name, expected] = FIELDS[code - 1] ?? [];
    if (name === undefined) continue; // "unknown fields must be accepted"
    if (variant.type !== expected) throw new DbusFormatError(`${name} of type ${variant.type}`);
    named[name] = variant.value;
  }
  const signature = typeof named.signature === "string" ? named.signature : "";
  const start = (headerSize + 7) & ~7;
  const body = decodeValues(signature, bytes.subarray(start), little);
  return { type: Number(type), flags: Number(flags), serial: Number(serial), ...named, body };
}

function isLittle(bytes: Uint8Array): boolean {
  if (bytes[0] === LITTLE) return true;
  if (bytes[0] === BIG) return false;
  throw new DbusFormatError("neither little-endian nor big-endian");
}
