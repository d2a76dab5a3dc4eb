/**
 * Addresses as netlink carries them and as people write them.
 *
 * @module
 */
import { AF } from "../abi/rtnetlink.ts";

/** The bytes of an IPv4 or IPv6 address (4 or 16). @throws RangeError for what is none. */
export function parseIp(text: string): Uint8Array {
  const bytes = text.includes(":") ? parseV6(text) : parseV4(text);
  if (bytes === undefined) throw new RangeError(`${JSON.stringify(text)} is no IP address`);
  return bytes;
}

/** An address of 4 or 16 bytes as people write it (RFC 5952). @throws RangeError for another length. */
export function showIp(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  if (bytes.length !== 16) throw new RangeError(`an address of ${bytes.length} bytes`);
  const words = Array.from(
    { length: 8 },
    (_, i) => (bytes[i * 2] ?? 0) << 8 | (bytes[i * 2 + 1] ?? 0),
  );
  const mapped = words.slice(0, 5).every((word) => word === 0) && words[5] === 0xffff;
  if (mapped) return `::ffff:${bytes.subarray(12).join(".")}`;
  const zeros = longestZeros(words);
  const hex = (part: readonly number[]) => part.map((word) => word.toString(16)).join(":");
  if (zeros === undefined) return hex(words);
  return `${hex(words.slice(0, zeros.start))}::${hex(words.slice(zeros.start + zeros.length))}`;
}

/** AF_INET or AF_INET6, by the length of an address. */
export function familyOf(bytes: Uint8Array): number {
  return bytes.length === 4 ? AF.AF_INET : AF.AF_INET6;
}

/** The bytes of `02:00:00:00:00:01`. @throws RangeError for what is no hardware address of an Ethernet. */
export function parseMac(text: string): Uint8Array {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) {
    throw new RangeError(`${JSON.stringify(text)} is no hardware address`);
  }
  return Uint8Array.from(text.split(":"), (digits) => parseInt(digits, 16));
}

/** A hardware address as people write it, of any length. */
export function showMac(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(":");
}

function parseV4(text: string): Uint8Array | undefined {
  const parts = text.split(".");
  // No leading zeros: some read those as octal.
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part))) {
    return undefined;
  }
  const numbers = parts.map(Number);
  return numbers.every((number) => number < 256) ? Uint8Array.from(numbers) : undefined;
}

function parseV6(text: string): Uint8Array | undefined {
  const [head = "", tail, more] = text.split("::");
  if (more !== undefined) return undefined;
  const left = parseWords(head, tail === undefined);
  const right = parseWords(tail ?? "", true);
  if (left === undefined || right === undefined) return undefined;
  const room = 16 - left.length - right.length;
  if (tail === undefined ? room !== 0 : room < 2) return undefined;
  const bytes = new Uint8Array(16);
  bytes.set(left);
  bytes.set(right, 16 - right.length);
  return bytes;
}

/** Groups of hexadecimal digits, the last of which may be an IPv4 address where the address ends. */
function parseWords(text: string, ends: boolean): number[] | undefined {
  if (text === "") return [];
  const groups = text.split(":");
  const bytes: number[] = [];
  for (const [i, group] of groups.entries()) {
    if (group.includes(".")) {
      const v4 = ends && i === groups.length - 1 ? parseV4(group) : undefined;
      if (v4 === undefined) return undefined;
      bytes.push(...v4);
    } else {
      if (!/^[0-9a-f]{1,4}$/i.test(group)) return undefined;
      const word = parseInt(group, 16);
      bytes.push(word >> 8, word & 0xff);
    }
  }
  return bytes.length <= 16 ? bytes : undefined;
}

/** The first of the longest runs of zeros, of two words or more. */
function longestZeros(words: readonly number[]): { start: number; length: number } | undefined {
  let best = { start: 0, length: 1 };
  for (let start = 0; start < words.length; start++) {
    let length = 0;
    while (start + length < words.length && words[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  return best.length > 1 ? best : undefined;
}
