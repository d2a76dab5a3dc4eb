import type { Command } from "./command.ts";
import { COMMANDS } from "./command_table.ts";

/**
 * The command that a command line begins with, and what stands behind its name, which may be one word or two. Undefined
 * where there is none: then `commandGroup()` may know the first word.
 */
export function findCommand(
  [first = "", second, ...rest]: readonly string[],
  commands: readonly Command[] = COMMANDS,
): { command: Command; rest: string[] } | undefined {
  const behind = second === undefined ? [] : [second, ...rest];
  const whole = commands.find(({ name }) => name === first);
  if (whole !== undefined) return { command: whole, rest: behind };
  const command = second === undefined
    ? undefined
    : commands.find(({ name }) => name === `${first} ${second}`);
  return command && { command, rest };
}

/** The commands of two words that begin with this one. */
export function commandGroup(first: string, commands: readonly Command[] = COMMANDS): Command[] {
  return commands.filter(({ name }) => name.startsWith(`${first} `));
}
