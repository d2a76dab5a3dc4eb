// Loaded for --help, and only then.
import type { Command, Flag } from "./command.ts";
import { COMMANDS } from "./command_table.ts";
import { commandGroup, findCommand } from "./find_command.ts";
import { GLOBAL_FLAGS } from "./global_flags.ts";
import { unknownCommand } from "./usage_error.ts";
import { writeStdout } from "./write_stdout.ts";

const WIDTH = 80;

const HELP_FLAG: Flag = { name: "help", short: "h", help: "print this" };

/**
 * Prints the help of the command that the words name, of the commands that begin with a word (`userns`), or of belay
 * when nothing is named, and returns exit code 0.
 *
 * @throws {CommandError} when there is no such command.
 */
export function printHelp(words: readonly string[]): number {
  const [first] = words;
  const command = COMMANDS.find(({ name }) => name === first) ?? findCommand(words)?.command;
  if (command !== undefined) writeStdout(commandHelp(command));
  else if (first === undefined || first === "help" || first === "h") writeStdout(belayHelp());
  else if (words.length === 1 && commandGroup(first).length > 0) writeStdout(groupHelp(first));
  else throw unknownCommand(words);
  return 0;
}

/** The text of `belay --help`. */
export function belayHelp(): string {
  return [
    "belay - an OCI container runtime\n",
    "Usage: belay [flags] <command> [flags] [<container-id>]\n",
    "Commands:",
    table(COMMANDS.map(({ name, summary }) => [name, summary])) + "\n",
    "Flags before the command:",
    flagTable([...GLOBAL_FLAGS, HELP_FLAG]) + "\n",
    "belay <command> --help tells more about each.\n",
  ].join("\n");
}

/** The text of `belay WORD --help`, where several commands begin with that word. */
export function groupHelp(first: string): string {
  return [
    `Usage: belay [global flags] ${first} <command> [flags]\n`,
    "Commands:",
    table(commandGroup(first).map(({ name, summary }) => [name, summary])) + "\n",
    `belay ${first} <command> --help tells more about each.\n`,
  ].join("\n");
}

/** The text of `belay COMMAND --help`. */
export function commandHelp(command: Command): string {
  return [
    `belay ${command.name} - ${command.summary}\n`,
    `Usage: belay [global flags] ${command.name} [flags] ${command.usage}`.trimEnd() + "\n",
    ...(command.description === undefined ? [] : [wrap(command.description, 0) + "\n"]),
    "Flags:",
    flagTable([...command.flags, HELP_FLAG]) + "\n",
  ].join("\n");
}

function flagTable(flags: readonly Flag[]): string {
  return table(flags.map(({ name, short, value, help, default: preset }) => [
    (short === undefined ? "    " : `-${short}, `) + `--${name}` +
    (value === undefined ? "" : ` ${value}`),
    preset === undefined ? help : `${help} (default: ${preset})`,
  ]));
}

function table(rows: readonly (readonly [string, string])[]): string {
  const column = 4 + Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left}`.padEnd(column) + wrap(right, column)).join("\n");
}

/** Breaks lines at spaces; every line but the first begins with `indent` spaces. */
function wrap(text: string, indent: number): string {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && indent + line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line].join(`\n${" ".repeat(indent)}`);
}
