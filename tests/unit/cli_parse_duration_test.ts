import { assertEquals } from "@std/assert";
import { parseDuration } from "../../runtime/cli/parse_duration.ts";

Deno.test("parseDuration() reads durations as Go does", () => {
  const durations: [string, number][] = [
    ["5s", 5000],
    ["1m30s", 90_000],
    ["1.5h", 5_400_000],
    ["250ms", 250],
    [".5s", 500],
    ["10us", 0.01],
    ["10µs", 0.01],
    ["0", 0],
    ["0s", 0],
  ];
  for (const [text, ms] of durations) assertEquals(parseDuration(text), ms, text);
});

Deno.test("parseDuration() refuses what is no duration", () => {
  for (const text of ["", "5", "s", "-1s", "5 s", "1d", "5s ", "1..5s", "Infinitys"]) {
    assertEquals(parseDuration(text), undefined, text);
  }
});
