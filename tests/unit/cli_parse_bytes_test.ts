import { assertEquals } from "@std/assert";
import { parseBytes } from "../../runtime/cli/parse_bytes.ts";

Deno.test("parseBytes() reads sizes as Docker and runc do", () => {
  const sizes: [string, bigint][] = [
    ["0", 0n],
    ["-1", -1n],
    ["123", 123n],
    ["1k", 1024n],
    ["64M", 64n << 20n],
    ["64mb", 64n << 20n],
    ["64 MiB", 64n << 20n],
    ["1.5g", 3n << 29n],
    ["2T", 2n << 40n],
    ["1P", 1n << 50n],
    ["10b", 10n],
    ["9223372036854775807", 9223372036854775807n],
  ];
  for (const [text, bytes] of sizes) assertEquals(parseBytes(text), bytes, text);
});

Deno.test("parseBytes() refuses what is no size, or too large for the kernel", () => {
  for (
    const text of ["", "-2", "M", "1x", "1MM", "0x10", "1e3", " 1", "9223372036854775808", "9P9"]
  ) {
    assertEquals(parseBytes(text), undefined, text);
  }
  assertEquals(parseBytes("9999999999P"), undefined);
});
