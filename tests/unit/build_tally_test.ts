import { assertEquals } from "@std/assert";
import { addTallies, readTally } from "../../scripts/tally.ts";

Deno.test("readTally() reads the summary of deno test, whose steps count as tests", () => {
  const output = "SKIP a test: no strace\nrunning 4 tests\nx ... ok\n\n" +
    "FAILED | 12 passed (3 steps) | 2 failed (1 step) | 3 ignored (1 step) (52ms)\n";
  assertEquals(readTally(output, 1), {
    passed: 15,
    failed: 3,
    skipped: 4,
    reasons: ["SKIP a test: no strace"],
  });
  assertEquals(readTally("ok | 5 passed | 0 failed (1s)\n", 0).passed, 5);
});

Deno.test("readTally() counts a failure when the run ended without a summary", () => {
  assertEquals(readTally("thread panicked\n", 134).failed, 1);
  assertEquals(readTally("", 0).failed, 1);
});

Deno.test("readTally() counts a failure when the run failed and its summary has none", () => {
  assertEquals(readTally("ok | 5 passed | 0 failed (1s)\nerror: leaked\n", 1).failed, 1);
});

Deno.test("readTally() is not taken in by a test that prints a summary", () => {
  const output = "ok | 99 passed | 0 failed\nrunning 1 test\n\nok | 1 passed | 0 failed (2ms)\n";
  assertEquals(readTally(output, 0).passed, 1);
});

Deno.test("addTallies() adds, and keeps the reasons in order", () => {
  const one = { passed: 1, failed: 2, skipped: 3, reasons: ["SKIP a: b"] };
  assertEquals(addTallies([one, { ...one, reasons: ["SKIP c: d"] }]), {
    passed: 2,
    failed: 4,
    skipped: 6,
    reasons: ["SKIP a: b", "SKIP c: d"],
  });
});
