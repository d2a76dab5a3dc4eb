/**
 * The one line that people and clients read: the error and its causes, joined by `": "`.
 *
 * Of an AggregateError all errors are told, joined by `"; "`.
 *
 * A cause is left out when the message before it already ends with it. An error that belay did not
 * expect (a TypeError, say) is a fault of belay's own and is named as such, with its class.
 */
export function describeError(error: unknown): string {
  const parts: string[] = [];
  const seen = new Set<unknown>();
  for (let link = error; link !== undefined && !seen.has(link);) {
    seen.add(link);
    const text = link instanceof AggregateError
      ? `${link.message}: ${link.errors.map(describeError).join("; ")}`
      : describeOne(link);
    if (text !== "" && !parts.at(-1)?.endsWith(text)) parts.push(text);
    link = link instanceof Error ? link.cause : undefined;
  }
  return parts.join(": ");
}

/** The stacks of an error and its causes, for `--debug`. */
export function describeStack(error: unknown): string {
  const stacks: string[] = [];
  const seen = new Set<unknown>();
  for (let link = error; link instanceof Error && !seen.has(link); link = link.cause) {
    seen.add(link);
    stacks.push(link.stack ?? String(link));
  }
  return stacks.join("\ncaused by: ");
}

function describeOne(error: unknown): string {
  if (!(error instanceof Error)) return `internal error: ${String(error)}`;
  return isOwnFault(error) ? `internal error: ${error.name}: ${error.message}` : error.message;
}

/** Whether this is a mistake in belay, and not something that it has to report about the world. */
function isOwnFault(error: Error): boolean {
  return error instanceof TypeError || error instanceof RangeError ||
    error instanceof ReferenceError || error instanceof SyntaxError ||
    error.name === "AssertionError";
}
