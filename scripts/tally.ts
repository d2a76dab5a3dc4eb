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
  /** What went wrong, in the words of `deno test`: a text for each run that found something. */
  readonly errors: readonly string[];
}

/** The sum. */
export function addTallies(tallies: readonly Tally[]): Tally {
  return {
    passed: tallies.reduce((sum, each) => sum + each.passed, 0),
    failed: tallies.reduce((sum, each) => sum + each.failed, 0),
    skipped: tallies.reduce((sum, each) => sum + each.skipped, 0),
    reasons: tallies.flatMap((each) => each.reasons),
    errors: tallies.flatMap((each) => each.errors),
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
  const told = count("failed");
  const failed = (exitCode !== 0 || summary === undefined) && told === 0 ? 1 : told;
  return {
    passed: count("passed"),
    failed,
    skipped: count("ignored"),
    reasons: output.match(/^SKIP .*$/gm) ?? [],
    errors: failed === 0 ? [] : [errorsIn(output)],
  };
}

/** Between its titles ERRORS and FAILURES; without them, the end. A text of the tests' own may be a title: the last counts. */
function errorsIn(output: string): string {
  const [, errors] = /^ ERRORS $(?![\s\S]*^ ERRORS $)([\s\S]*)^ FAILURES $/m.exec(output) ?? [];
  return errors?.trim() ?? output.trim().split("\n").slice(-20).join("\n");
}
