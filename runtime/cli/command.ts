import type { Logger } from "../log/logger.ts";
import type { LogOptions } from "../log/open_log.ts";
import type { ParsedFlags } from "./parsed_flags.ts";

/** One flag, global or of a command, as data: the parser and the help are both derived from it. */
export interface Flag {
  /** The long name, without its dashes. */
  readonly name: string;
  /** The one-letter name, without its dash. */
  readonly short?: string;
  /** What the help calls the value (`FILE`); a flag without it is a boolean. */
  readonly value?: string;
  /** It may be given several times, and every value counts; else the last one does. */
  readonly repeated?: true;
  /** What a flag that is not given stands for. */
  readonly default?: string;
  /** The only values allowed. */
  readonly choices?: readonly string[];
  /** The value is an integer of at least this. */
  readonly least?: number;
  /** And of at most this. */
  readonly most?: number;
  /** One line for the help. */
  readonly help: string;
  /** belay knows the flag and cannot do it: why. Using it is an error. */
  readonly refused?: string;
  /** The flag is accepted for runc's sake and changes nothing: why. Using it is logged. */
  readonly noEffect?: string;
}

/** One command, as data. Its code is loaded when it runs, and only then. */
export interface Command {
  /** What is typed: one word, or two (`userns new`). */
  readonly name: string;
  /** One line, for the list of commands. */
  readonly summary: string;
  /** The positional arguments: `<container-id> [signal]`. */
  readonly usage: string;
  /** Paragraphs for `belay help NAME`. */
  readonly description?: string;
  /** Its own flags; `--help` goes without saying. */
  readonly flags: readonly Flag[];
  /** Flags may stand behind positional arguments, too: for commands that runc does not have. */
  readonly flagsAnywhere?: true;
  /** How many positional arguments it takes. */
  readonly args: { readonly min: number; readonly max: number };
  /** What belay exits with when it fails (default: 1). */
  readonly failure?: number;
  /** Loads the module in `runtime/commands/`. */
  readonly load: () => Promise<{ readonly run: Run }>;
}

/** What the flags before the command say. */
export interface Globals extends LogOptions {
  /** The state root: an absolute, normalised path, and not `/`. */
  readonly root: string;
  /** `--systemd-cgroup`. */
  readonly systemdCgroup: boolean;
  /** `--rootless`: whether cgroup permission errors are ignored. */
  readonly rootless: "true" | "false" | "auto";
  /** `--trace`: where the timeline of system calls is written to. */
  readonly trace?: string;
}

/** Everything that a command is given. */
export interface Invocation {
  /** What stood before the command. */
  readonly globals: Globals;
  /** What stood behind it. */
  readonly flags: ParsedFlags;
  /** The positional arguments; their number has been checked. */
  readonly args: readonly string[];
  /** Where to tell what is no error. */
  readonly log: Logger;
}

/** A command: it does its work and returns belay's exit code, or throws. */
export type Run = (invocation: Invocation) => Promise<number> | number;
