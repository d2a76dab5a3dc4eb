/**
 * A text that others have chosen (the name of a process, a link, a file) as people may see it: control characters are
 * `\x1b` and the like, so that it neither drives a terminal nor looks like a line of belay's.
 */
export function printable(text: string): string {
  // deno-lint-ignore no-control-regex -- they are what is looked for
  return text.replace(/[\0-\x1f\x7f-\x9f]/g, (char) => {
    return "\\x" + char.charCodeAt(0).toString(16).padStart(2, "0");
  });
}
