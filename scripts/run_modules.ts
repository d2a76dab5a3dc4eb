import { addTallies, readTally, type Tally } from "./tally.ts";

/** How long one module's tests may take: what hangs must end, and be counted. */
const TIMEOUT_MS = 20 * 60_000;

/** Tests look at all mounts that they see: those that another module makes at the same moment must not be among them. */
const APART = Deno.uid() === 0 ? ["unshare", "--mount", "--propagation", "unchanged"] : [];

/** How to run them. */
export interface RunModulesOptions {
  readonly cwd: string;
  /** Arguments of `deno test` before the module. */
  readonly args: readonly string[];
  /** How many at a time. */
  readonly atOnce: number;
}

/**
 * Runs each test module in a `deno test` of its own, some at a time, so that what one leaves in its process (open
 * descriptors, adopted children) cannot change another's result, and prints each one's output as a whole when it ends.
 *
 * One that fails is run once more when the others have ended, to tell a fault of its own from one that comes beside
 * others: then it is named UNSTABLE. It has failed in either case.
 * @returns The sum; a module that was killed because it hung counts as a failure.
 */
export async function runModules(
  modules: readonly string[],
  options: RunModulesOptions,
): Promise<Tally> {
  const waiting = [...modules];
  const tallies: Tally[] = [];
  const failed: { module: string; tally: Tally }[] = [];
  const lane = async () => {
    for (let module = waiting.shift(); module !== undefined; module = waiting.shift()) {
      const tally = await runOne(module, options);
      if (tally.failed > 0) failed.push({ module, tally });
      else tallies.push(tally);
    }
  };
  await Promise.all(Array.from({ length: options.atOnce }, lane));
  for (const { module, tally } of failed) {
    console.log(`· once more, alone, to learn why: ${module}`);
    const again = await runOne(module, options);
    const reasons = again.failed > 0
      ? []
      : [`UNSTABLE ${module}: failed beside others, passed alone`];
    tallies.push({ ...tally, reasons: [...tally.reasons, ...reasons] });
  }
  return addTallies(tallies);
}

async function runOne(module: string, { cwd, args }: RunModulesOptions): Promise<Tally> {
  const hung = AbortSignal.timeout(TIMEOUT_MS);
  const [program = "", ...words] = [...APART, Deno.execPath(), "test", ...args, module];
  const { stdout, stderr, code } = await new Deno.Command(program, {
    args: words,
    ...{ cwd, signal: hung, stdin: "null", env: { NO_COLOR: "1" } },
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  const end = hung.aborted ? `\nFAILED: ${module} took more than ${TIMEOUT_MS / 60_000} min\n` : "";
  const output = text(stdout) + text(stderr) + end;
  console.log(`${output.trim()}\n`);
  return readTally(output, code);
}
