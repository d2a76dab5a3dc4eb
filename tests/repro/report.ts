// What people and programs read of a run of the reproducers.
import type { Result } from "./job.ts";

/** A table for people. */
export function reportTable(results: readonly Result[]): string {
  const rows = [["job", "what", "rounds", "naive way", "belay", ""]];
  for (const { name, findings, skipped, failures, seconds } of results) {
    const verdict = skipped !== undefined ? "SKIP" : failures.length > 0 ? "FAILED" : "ok";
    rows.push([name, "", "", "", "", `${verdict} (${seconds.toFixed(1)} s)`]);
    for (const { what, rounds, naive, belay, forced } of findings) {
      rows.push(["", what, `${rounds}`, `${naive ?? "-"}`, `${belay}`, forced ?? ""]);
    }
  }
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  const lines = rows.map((row) =>
    row.map((cell, i) =>
      /^[\d-]+$/.test(cell) ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)
    ).join("  ").trimEnd()
  );
  const why = results.flatMap(({ name, skipped, failures }) => [
    ...(skipped === undefined ? [] : [`SKIP ${name}: ${skipped}`]),
    ...failures.map((failure) => `FAILED ${name}: ${failure}`),
  ]);
  return [...lines, ...why].join("\n");
}

/** JUnit's XML, for CI: one test case for each job. */
export function reportJunit(results: readonly Result[]): string {
  const cases = results.map(({ name, bug, seconds, skipped, failures, findings }) => {
    const inside = [
      ...failures.map((failure) => `    <failure message="${escape(failure)}"/>\n`),
      ...(skipped === undefined ? [] : [`    <skipped message="${escape(skipped)}"/>\n`]),
      `    <system-out>${escape(JSON.stringify(findings))}</system-out>\n`,
    ].join("");
    return `  <testcase classname="repro" name="${escape(`${name}: ${bug}`)}" ` +
      `time="${seconds.toFixed(3)}">\n${inside}  </testcase>\n`;
  }).join("");
  const count = (wanted: (result: Result) => boolean) => results.filter(wanted).length;
  return `<?xml version="1.0" encoding="UTF-8"?>\n` +
    `<testsuite name="repro" tests="${results.length}" ` +
    `failures="${count(({ failures }) => failures.length > 0)}" ` +
    `skipped="${count(({ skipped }) => skipped !== undefined)}">\n${cases}</testsuite>\n`;
}

/** Text as XML 1.0 can hold it: without the control characters that it forbids. */
function escape(text: string): string {
  // deno-lint-ignore no-control-regex -- those are meant
  return text.replace(/[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/g, "\ufffd")
    .replace(/[&<>"\n]/g, (char) => `&#${char.charCodeAt(0)};`);
}
