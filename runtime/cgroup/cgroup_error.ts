/**
 * A cgroup that could not be made, limited, signalled or removed: what was asked, where, and the kernel's answer as
 * its cause. `errors` holds every failure when several steps were tried and more than one failed.
 */
export class CgroupError extends Error {
  override readonly name = "CgroupError";
  /** Each failure; empty for a single one, whose reason is `cause`. */
  readonly errors: readonly Error[];

  /** Makes the error; `message` is a sentence without a full stop. */
  constructor(message: string, options: ErrorOptions = {}, errors: readonly Error[] = []) {
    super(message, options);
    this.errors = errors;
  }

  /** Nothing, the failure itself, or one error that tells them all. */
  static of(errors: readonly Error[]): Error | undefined {
    if (errors.length <= 1) return errors[0];
    return new CgroupError(errors.map(told).join("; "), {}, errors);
  }
}

function told(error: Error): string {
  return error.cause instanceof Error ? `${error.message}: ${told(error.cause)}` : error.message;
}
