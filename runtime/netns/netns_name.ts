import { CommandError } from "../cli/command_error.ts";

/** NAME_MAX (linux/limits.h), in bytes. */
const LONGEST = 255;

/**
 * The name, when it may be that of a network namespace: iproute2's rule, which is any name of a file.
 * @throws CommandError with the reason when it may not.
 */
export function netnsName(name: string): string {
  const reason = name === ""
    ? "it is empty"
    : new TextEncoder().encode(name).length > LONGEST
    ? `it is longer than ${LONGEST} bytes`
    : name === "." || name === ".." || /[/\0]/.test(name)
    ? "it is no name of a file"
    // Deno has put U+FFFD in the place of what it could not read: that would be another name.
    : name.includes("\ufffd")
    ? "it is no UTF-8"
    : undefined;
  if (reason === undefined) return name;
  const shown = name.length > 60 ? `${name.slice(0, 60)}…` : name;
  throw new CommandError(
    `invalid name of a network namespace: ${JSON.stringify(shown)}: ${reason}`,
  );
}

/** The names that `--count` stands for: `web1` to `webN`; the name itself without it. @throws CommandError */
export function countedNames(name: string, count: number | undefined): string[] {
  if (count === undefined) return [netnsName(name)];
  return Array.from({ length: count }, (_, i) => netnsName(`${name}${i + 1}`));
}
