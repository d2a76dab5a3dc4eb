import { assertEquals, assertStringIncludes } from "@std/assert";
import { judge, type Result } from "../repro/job.ts";
import { reportJunit, reportTable } from "../repro/report.ts";

const FINDING = { what: "TAPs left", rounds: 50, naive: 50, belay: 0 };

Deno.test("judge() finds nothing wrong when the naive way shows the bug and belay's does not", () => {
  assertEquals(judge([FINDING]), []);
  assertEquals(judge([FINDING, { what: "bytes lost", rounds: 3, belay: 0 }]), []);
});

Deno.test("judge() fails when belay shows the bug, the naive way does not, or nothing was counted", () => {
  assertEquals(judge([{ ...FINDING, belay: 1 }]), ["TAPs left: 1 in 50 rounds of belay's way"]);
  assertEquals(judge([{ ...FINDING, naive: 0 }]), [
    "TAPs left: the naive way did not show the bug in 50 rounds",
  ]);
  assertEquals(judge([{ ...FINDING, rounds: 0 }]), ["TAPs left: no round was run"]);
  assertEquals(judge([]), ["nothing was counted"]);
  assertEquals(judge([{ what: "x", rounds: 1, belay: 0 }]), ["no naive way was counted"]);
});

const RESULTS: readonly Result[] = [
  { name: "s0", bug: "a <bug>", seconds: 1.25, findings: [FINDING], failures: [] },
  { name: "s1", bug: "b", seconds: 0, findings: [], failures: ['it "broke" \x1b[1m & ended'] },
  { name: "s2", bug: "c", seconds: 0, findings: [], failures: [], skipped: "no tc" },
];

Deno.test("reportTable() shows counts, verdicts, and why a job failed or was skipped", () => {
  const table = reportTable(RESULTS);
  assertStringIncludes(table, "TAPs left      50         50      0\n");
  assertStringIncludes(table, "ok (1.3 s)");
  assertStringIncludes(table, 'FAILED s1: it "broke"');
  assertStringIncludes(table, "SKIP s2: no tc");
});

Deno.test("reportJunit() counts, and escapes what XML forbids", () => {
  const xml = reportJunit(RESULTS);
  assertStringIncludes(xml, '<testsuite name="repro" tests="3" failures="1" skipped="1">');
  assertStringIncludes(xml, 'name="s0: a &#60;bug&#62;" time="1.250"');
  assertStringIncludes(xml, 'message="it &#34;broke&#34; \ufffd[1m &#38; ended"');
  assertEquals(xml.includes("\x1b"), false);
});
