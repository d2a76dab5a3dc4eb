/**
 * A failure that is told to the user exactly as it stands: no stack, no class name.
 *
 * Throw it where nothing below already says it better: wrong usage, a container in the wrong
 * state, a file that is not there. Give the error that was the reason as `cause`: the message that
 * is printed is the whole chain, joined by `": "`.
 */
export class CommandError extends Error {
  /** For stacks; it is not printed. */
  override readonly name = "CommandError";
  /** What belay exits with: 1 unless the kind of failure has a number that clients know. */
  readonly exitCode: number;

  /** Makes the error; `message` is a sentence without a full stop, as in Go's error chains. */
  constructor(message: string, options: ErrorOptions & { readonly exitCode?: number } = {}) {
    super(message, options);
    this.exitCode = options.exitCode ?? 1;
  }
}
