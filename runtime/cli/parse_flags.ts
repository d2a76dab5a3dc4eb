// Flags by Go's rules, which is what every client of runc writes for. @std/cli's parseArgs has
// other rules, and they would be faults here: it swallows a container called "true" after a boolean
// flag (`delete --force true`), takes `--log ""` for a flag without a value and a stray argument,
// reads `--preserve-fds -1` as two flags, and ends the flags at a `--` that stands behind the id.
import type { Flag } from "./command.ts";
import { CommandError } from "./command_error.ts";
import { ParsedFlags } from "./parsed_flags.ts";

/** What stood before the first positional argument, and the rest. */
export interface ParsedArguments {
  /** The flags. */
  readonly flags: ParsedFlags;
  /** From the first positional argument on; the `--` that may end the flags is dropped. */
  readonly rest: readonly string[];
  /** `--help` or `-h` was given. */
  readonly help: boolean;
  /** The flags that were given and have no effect. */
  readonly withoutEffect: readonly Flag[];
  /**
   * The first thing that is wrong. It is returned, not thrown, so that the other flags can still
   * be used: a client reads about the mistake in the file that its `--log` names.
   */
  readonly problem: CommandError | undefined;
}

/** A flag that nothing describes. `parseFlags()` leaves finding the nearest one to its caller. */
export class UnknownFlagError extends CommandError {
  /** As it was written, without the value: `--bundel`. */
  readonly written: string;

  /** Names the flag. */
  constructor(written: string) {
    super(`unknown flag ${written}`);
    this.written = written;
  }
}

/**
 * Reads flags up to the first argument that is none.
 *
 * `--name VALUE`, `--name=VALUE`, `-n VALUE` and `-n=VALUE` are the same; the next argument is the
 * value whatever it looks like; the last of several wins, but for a `repeated` flag. A boolean takes a value only by `=`.
 *
 * What is wrong becomes the `problem`: a flag that `known` does not describe (an
 * {@linkcode UnknownFlagError}, which ends the reading), a value that is missing or not allowed, a
 * refused flag.
 *
 * @param anywhere Flags may also stand behind positional arguments; `--` ends them.
 */
export function parseFlags(
  args: readonly string[],
  known: readonly Flag[],
  anywhere = false,
): ParsedArguments {
  const positional: string[] = [];
  const values = new Map<string, string[]>();
  const withoutEffect: Flag[] = [];
  let help = false;
  let problem: CommandError | undefined;
  let index = 0;
  for (; index < args.length; index++) {
    const arg = args[index] ?? "";
    if (arg === "--") {
      index++;
      break;
    }
    if (!arg.startsWith("-") || arg === "-") {
      if (!anywhere) break;
      positional.push(arg);
      continue;
    }
    const equals = arg.indexOf("=");
    const written = equals === -1 ? arg : arg.slice(0, equals);
    let value = equals === -1 ? undefined : arg.slice(equals + 1);
    if (written === "--help" || written === "-h") {
      help = true;
      continue;
    }
    const flag = known.find(({ name, short }) =>
      written === `--${name}` || (short !== undefined && written === `-${short}`)
    );
    if (flag === undefined) {
      problem ??= new UnknownFlagError(written);
      break;
    }
    if (flag.value !== undefined && value === undefined) value = args[++index];
    const wrong = findProblem(flag, value);
    if (wrong !== undefined) {
      problem ??= new CommandError(`${written}: ${wrong}`);
      continue;
    }
    const given = flag.value === undefined ? String(isTrue(value)) : value ?? "";
    const before = flag.repeated === true ? values.get(flag.name) ?? [] : [];
    values.set(flag.name, [...before, given]);
    if (flag.noEffect !== undefined) withoutEffect.push(flag);
  }
  return {
    flags: new ParsedFlags(known, values),
    rest: [...positional, ...args.slice(index)],
    help,
    withoutEffect,
    problem,
  };
}

/** More than that is no number of anything that flags count: containers, processes, milliseconds. */
const MOST = 999_999_999;

function findProblem(flag: Flag, value: string | undefined): string | undefined {
  if (flag.refused !== undefined) return flag.refused;
  const quoted = JSON.stringify(value);
  if (flag.value === undefined) {
    return isTrue(value) === undefined ? `${quoted} is neither true nor false` : undefined;
  }
  if (value === undefined) return `needs a value (${flag.value})`;
  if (flag.choices !== undefined && !flag.choices.includes(value)) {
    return `${quoted} is not one of ${flag.choices.join(", ")}`;
  }
  return flag.least === undefined ? undefined : numberProblem(value, flag.least, flag.most);
}

function numberProblem(value: string, least: number, most = MOST): string | undefined {
  const quoted = JSON.stringify(value);
  if (!/^\d+$/.test(value) || Number(value) < least) {
    return `${quoted} is not a whole number of at least ${least}`;
  }
  return Number(value) > most ? `${quoted} is more than ${most}` : undefined;
}

/** Go's booleans, less the odd ones; undefined for anything else. */
function isTrue(value = "true"): boolean | undefined {
  if (value === "true" || value === "1") return true;
  if (value === "false" || value === "0") return false;
  return undefined;
}
