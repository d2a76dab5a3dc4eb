/** What a program printed and how it ended. */
export interface Finished {
  /** Exit code; 128 + the signal's number for a killed one. */
  readonly code: number;
  /** Standard output. */
  readonly stdout: string;
  /** Standard error. */
  readonly stderr: string;
}

/**
 * Runs `work` under a title. The title is printed at once; after a second, and then every five,
 * it is said how long it has taken, so that nobody wonders whether it hangs.
 */
export async function step<T>(title: string, work: () => Promise<T>): Promise<T> {
  const start = performance.now();
  const seconds = () => ((performance.now() - start) / 1000).toFixed(1);
  console.log(`· ${title}`);
  let heartbeat = setTimeout(function beat() {
    console.log(`  … ${seconds()} s`);
    heartbeat = setTimeout(beat, 5000);
  }, 1000);
  try {
    return await work();
  } finally {
    clearTimeout(heartbeat);
    if (performance.now() - start > 1000) console.log(`  took ${seconds()} s`);
  }
}

/**
 * Runs a program to its end and keeps what it printed. A program that is not installed ends with
 * 127, as in a shell; one that exceeds `timeoutMs` is killed.
 */
export async function capture(
  command: readonly string[],
  options: {
    readonly cwd?: string;
    readonly env?: Record<string, string>;
    readonly clearEnv?: boolean;
    readonly timeoutMs?: number;
  } = {},
): Promise<Finished> {
  const [program = "", ...args] = command;
  const { timeoutMs, ...rest } = options;
  const signal = timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs);
  try {
    const { code, stdout, stderr } = await new Deno.Command(program, {
      args,
      ...rest,
      stdin: "null",
      ...(signal === undefined ? {} : { signal }),
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return { code, stdout: text(stdout), stderr: text(stderr) };
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return { code: 127, stdout: "", stderr: `${program}: not found` };
  }
}

/** Like {@linkcode capture}, but a failure throws what the program said. */
export async function mustRun(
  command: readonly string[],
  options: Parameters<typeof capture>[1] = {},
): Promise<string> {
  const { code, stdout, stderr } = await capture(command, options);
  if (code !== 0) throw new Error(`${command.join(" ")}: exit code ${code}\n${stderr.trim()}`);
  return stdout;
}
