const UNITS = "kmgtp";

/**
 * A number of bytes as Docker and runc take it: `1048576`, `64M`, `1.5GiB`, `512 kb`; units are powers of 1024.
 * `-1` is unlimited.
 * @returns undefined for what is no such number, or is too large for the kernel.
 */
export function parseBytes(text: string): bigint | undefined {
  if (text === "-1") return -1n;
  const match = /^(\d{1,19})(\.\d{1,9})? ?([kmgtp]?)i?b?$/i.exec(text);
  if (match === null) return undefined;
  const [, whole = "0", fraction = "", unit = ""] = match;
  const factor = 1024n ** BigInt(unit === "" ? 0 : UNITS.indexOf(unit.toLowerCase()) + 1);
  const parts = fraction.slice(1);
  const rest = parts === "" ? 0n : BigInt(parts) * factor / 10n ** BigInt(parts.length);
  const bytes = BigInt(whole) * factor + rest;
  return bytes <= 0x7fffffffffffffffn ? bytes : undefined;
}
