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
    errors: [output.trim()],
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
  const one = { passed: 1, failed: 2, skipped: 3, reasons: ["SKIP a: b"], errors: ["a"] };
  assertEquals(addTallies([one, { ...one, reasons: ["SKIP c: d"], errors: ["b"] }]), {
    passed: 2,
    failed: 4,
    skipped: 6,
    reasons: ["SKIP a: b", "SKIP c: d"],
    errors: ["a", "b"],
  });
});

Deno.test("readTally() keeps what deno test says of errors, and only that", () => {
  const output = [
    ...["a ... ok", "b ... FAILED", "", " ERRORS ", "", "b => ./b_test.ts:1:6", "error: Error: no"],
    ...["", " FAILURES ", "", "b => ./b_test.ts:1:6", "", "FAILED | 1 passed | 1 failed (1s)"],
  ].join("\n");
  assertEquals(readTally(output, 1).errors, ["b => ./b_test.ts:1:6\nerror: Error: no"]);
  assertEquals(readTally(`${output}\n${output.replace(": no", ": nor")}`, 1).errors, [
    "b => ./b_test.ts:1:6\nerror: Error: nor",
  ]);
});

Deno.test("readTally() keeps the end of what did not come to a summary", () => {
  const lines = Array.from({ length: 30 }, (_, number) => `line ${number}`);
  assertEquals(readTally(lines.join("\n"), 134).errors, [lines.slice(10).join("\n")]);
  assertEquals(readTally("ok | 1 passed | 0 failed (1s)", 0).errors, []);
});
