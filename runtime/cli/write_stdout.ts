import { CommandError } from "./command_error.ts";

/** What a shell reports for a program that died of SIGPIPE, as runc does. */
const EXIT_SIGPIPE = 128 + 13;

/** Nobody reads stdout any more. It is no news to the user, and nothing is logged. */
export class StdoutClosedError extends CommandError {
  /** Exits with 141. */
  constructor(options: ErrorOptions) {
    super("stdout was closed", { ...options, exitCode: EXIT_SIGPIPE });
  }
}

/**
 * Writes all of `text` to stdout.
 *
 * @throws {StdoutClosedError} when stdout is a pipe without a reader (`belay list | head -0`).
 */
export function writeStdout(text: string): void {
  let bytes = new TextEncoder().encode(text);
  try {
    while (bytes.length > 0) bytes = bytes.subarray(Deno.stdout.writeSync(bytes));
  } catch (cause) {
    if (cause instanceof Deno.errors.BrokenPipe) throw new StdoutClosedError({ cause });
    throw new CommandError("writing to stdout", { cause });
  }
}
