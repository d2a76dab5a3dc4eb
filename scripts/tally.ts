/** How many tests did what. */
export interface Tally {
  /** Ran and found nothing wrong. */
  readonly passed: number;
  /** Found something wrong, or could not even begin. */
  readonly failed: number;
  /** Could not run here. */
  readonly skipped: number;
  /** The SKIP lines. */
  readonly reasons: readonly string[];
}

/** The sum. */
export function addTallies(tallies: readonly Tally[]): Tally {
  return {
    passed: tallies.reduce((sum, each) => sum + each.passed, 0),
    failed: tallies.reduce((sum, each) => sum + each.failed, 0),
    skipped: tallies.reduce((sum, each) => sum + each.skipped, 0),
    reasons: tallies.flatMap((each) => each.reasons),
  };
}

/**
 * Reads what `deno test` printed (without colours). Its JUnit report would be nicer to read, but
 * it leaves out modules that fail to load.
 *
 * A run that failed counts at least one failure, whatever it printed, and so does one that printed
 * no summary: a crash never looks like success.
 */
export function readTally(output: string, exitCode: number): Tally {
  const summary = output.match(/^(?:ok|FAILED) \| .*$/gm)?.at(-1);
  // A step of a test counts as one.
  const count = (what: string) => {
    const [, tests, steps] = summary?.match(`(\\d+) ${what}(?: \\((\\d+) steps?\\))?`) ?? [];
    return Number(tests ?? 0) + Number(steps ?? 0);
  };
  const failed = count("failed");
  return {
    passed: count("passed"),
    failed: (exitCode !== 0 || summary === undefined) && failed === 0 ? 1 : failed,
    skipped: count("ignored"),
    reasons: output.match(/^SKIP .*$/gm) ?? [],
  };
}
