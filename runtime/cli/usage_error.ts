// Loaded when the command line is wrong, and only then.
import { nearMiss } from "../spec/near_miss.ts";
import type { Command, Flag } from "./command.ts";
import { CommandError } from "./command_error.ts";
import { COMMANDS, MISSING_COMMANDS } from "./command_table.ts";
import { commandGroup } from "./find_command.ts";
import { GLOBAL_FLAGS } from "./global_flags.ts";
import { UnknownFlagError } from "./parse_flags.ts";

/** The error for a command line that begins with no command of belay's; it names the nearest one. */
export function unknownCommand([first = "", second]: readonly string[]): CommandError {
  if (MISSING_COMMANDS.includes(first)) {
    return new CommandError(
      `${JSON.stringify(first)}: belay does not have this command of runc yet`,
    );
  }
  const group = commandGroup(first).map(({ name }) => name);
  if (group.length > 0 && second === undefined) {
    return new CommandError(`belay ${first}: it needs a command: ${group.join(", ")}`);
  }
  const [given, known] = group.length > 0
    ? [`${first} ${second}`, group]
    : [first, COMMANDS.map(({ name }) => name)];
  const nearest = nearMiss(given, known);
  return new CommandError(
    `unknown command ${JSON.stringify(given)}` +
      (nearest === undefined
        ? `: the commands are ${known.join(group.length > 0 ? ", " : " ")}`
        : `: did you mean ${nearest}?`),
  );
}

/** A problem of `parseFlags()`, told with the command and, for an unknown flag, with a way out. */
export function usageError(problem: CommandError, command?: Command): CommandError {
  const where = command === undefined ? "belay" : `belay ${command.name}`;
  if (!(problem instanceof UnknownFlagError)) {
    return new CommandError(`${where}: ${problem.message}`);
  }
  return new CommandError(`${where}: ${problem.message}: ${hint(problem.written, where, command)}`);
}

/** The error for too few or too many positional arguments. */
export function wrongArguments(command: Command, args: readonly string[]): CommandError {
  const shape = `belay ${command.name} [flags] ${command.usage}`.trimEnd();
  if (args.length < command.args.min) {
    return new CommandError(`belay ${command.name}: it needs more arguments: ${shape}`);
  }
  const extra = args.slice(command.args.max);
  const flag = extra.find((arg) => arg.startsWith("-"));
  return new CommandError(
    `belay ${command.name}: too many arguments: ${
      extra.map((arg) => JSON.stringify(arg)).join(" ")
    }: ` +
      (flag === undefined || command.flags.length === 0
        ? shape
        : `flags such as ${flag} stand before the ${firstArgument(command)}: ${shape}`),
  );
}

/** `container id`, of `<container-id> [signal]`. */
function firstArgument({ usage }: Command): string {
  return /\w[\w-]*/.exec(usage)?.[0].replaceAll("-", " ") ?? "arguments";
}

function hint(written: string, where: string, command: Command | undefined): string {
  const elsewhere = command === undefined ? ownersOf(written) : "";
  if (elsewhere !== "") return `it is a flag of ${elsewhere} and stands behind the command`;
  if (command !== undefined && spellings(GLOBAL_FLAGS).includes(written)) {
    return `it stands before the command: belay ${written} … ${command.name}`;
  }
  const known = spellings([...(command?.flags ?? []), ...GLOBAL_FLAGS]);
  const nearest = nearMiss(written, known);
  return nearest === undefined ? `see ${where} --help` : `did you mean ${nearest}?`;
}

function ownersOf(written: string): string {
  return COMMANDS.filter((each) => spellings(each.flags).includes(written))
    .map((each) => each.name).join(", ");
}

function spellings(flags: readonly Flag[]): string[] {
  return flags.flatMap(({ name, short }) =>
    short === undefined ? [`--${name}`] : [
      `--${name}`,
      `-${short}`,
    ]
  );
}
