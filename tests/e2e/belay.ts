// The executable under test, and how to run it.

const root = new URL("../..", import.meta.url).pathname;

/** dist/belay, or what BELAY_BIN names: .ci/run tests the compiled one, too. */
export const belayPath: string = Deno.env.get("BELAY_BIN") ?? `${root}dist/belay`;

/** Whether it is a launcher and not a compiled executable. */
export const isLauncher: boolean = firstBytes(belayPath, 2) === "#!";

/** How a program ended, and what it printed. */
export interface Ended {
  /** The exit code; 128 + the signal's number when a signal ended it. */
  readonly code: number;
  /** Standard output. */
  readonly stdout: string;
  /** Standard error. */
  readonly stderr: string;
}

/** How to run it. */
export interface RunOptions {
  /** Where. */
  readonly cwd?: string;
  /** What is added to the environment; with `clearEnv` all of it. */
  readonly env?: Record<string, string>;
  /** Begin with an empty environment. */
  readonly clearEnv?: boolean;
  /** When to kill it (default: 30 s). */
  readonly timeoutMs?: number;
}

/** Runs belay with these arguments. */
export function belay(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  return run([belayPath, ...args], options);
}

/** Runs any program. */
export async function run(
  [program = "", ...args]: readonly string[],
  { timeoutMs = 30_000, ...options }: RunOptions = {},
): Promise<Ended> {
  const timeout = new AbortController();
  const timer = setTimeout(() => timeout.abort(), timeoutMs);
  try {
    const { code, stdout, stderr } = await new Deno.Command(program, {
      args,
      stdin: "null",
      signal: timeout.signal,
      ...options,
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return { code, stdout: text(stdout), stderr: text(stderr) };
  } finally {
    clearTimeout(timer);
  }
}

/** Runs `work` in a directory of its own, which is removed afterwards. */
export async function inTempDir(work: (directory: string) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "belay-test-" });
  try {
    await work(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

function firstBytes(path: string, count: number): string {
  using file = Deno.openSync(path);
  const bytes = new Uint8Array(count);
  file.readSync(bytes);
  return new TextDecoder().decode(bytes);
}
