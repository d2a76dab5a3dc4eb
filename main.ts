/**
 * belay: arguments → command → exit code.
 *
 * @module
 */
import type { Command } from "./runtime/cli/command.ts";
import { CommandError } from "./runtime/cli/command_error.ts";
import { describeError, describeStack } from "./runtime/cli/describe_error.ts";
import { findCommand } from "./runtime/cli/find_command.ts";
import { GLOBAL_FLAGS, readGlobals, readLogOptions } from "./runtime/cli/global_flags.ts";
import { type ParsedArguments, parseFlags } from "./runtime/cli/parse_flags.ts";
import { StdoutClosedError } from "./runtime/cli/write_stdout.ts";
import { visible } from "./runtime/log/format_record.ts";
import { writeToStderr } from "./runtime/log/handlers.ts";
import type { Logger } from "./runtime/log/logger.ts";
import { openLog } from "./runtime/log/open_log.ts";

/** Runs one command line and returns belay's exit code. It reports failures and never throws. */
export async function main(args: readonly string[]): Promise<number> {
  const global = parseFlags(args, GLOBAL_FLAGS);
  const logOptions = readLogOptions(global.flags);
  const log = openLog(logOptions);
  const fail = (error: unknown): number => {
    if (!(error instanceof StdoutClosedError)) {
      const message = describeError(error);
      log.error(message);
      log.debug(describeStack(error));
      // Some clients read the log, others stderr; runc serves both.
      if (logOptions.log !== undefined) writeToStderr(visible(message));
    }
    return error instanceof CommandError ? error.exitCode : 1;
  };
  // A promise that nobody awaits is a fault of belay; clients are to read about it like any other.
  globalThis.onunhandledrejection = (event) => {
    event.preventDefault();
    Deno.exit(fail(event.reason));
  };
  try {
    return await dispatch(global, log);
  } catch (error) {
    return fail(error);
  }
}

async function dispatch(global: ParsedArguments, log: Logger): Promise<number> {
  if (global.problem !== undefined) return await usage(global.problem);
  if (global.flags.bool("version")) {
    return (await import("./runtime/cli/version.ts")).printVersion();
  }
  const [first, second] = global.rest;
  if (global.help || first === undefined || first === "help" || first === "h") {
    const words = global.help ? global.rest : global.rest.slice(1);
    return (await import("./runtime/cli/help.ts")).printHelp(words);
  }
  const found = findCommand(global.rest);
  if (found === undefined) {
    if (second === "--help" || second === "-h") {
      return (await import("./runtime/cli/help.ts")).printHelp([first]);
    }
    throw (await import("./runtime/cli/usage_error.ts")).unknownCommand(global.rest);
  }
  const { command } = found;
  const local = parseFlags(found.rest, command.flags, command.flagsAnywhere);
  if (local.problem !== undefined) return await usage(local.problem, command);
  if (local.help) return (await import("./runtime/cli/help.ts")).printHelp([command.name]);
  if (local.rest.length < command.args.min || local.rest.length > command.args.max) {
    throw (await import("./runtime/cli/usage_error.ts")).wrongArguments(command, local.rest);
  }
  for (const flag of local.withoutEffect) log.info(`--${flag.name}: ${flag.noEffect}`);
  const globals = readGlobals(global.flags);
  const { run } = await command.load();
  const trace = globals.trace === undefined
    ? undefined
    : (await import("./runtime/trace/trace.ts")).startTrace(globals.trace);
  let code;
  try {
    code = await run({ globals, flags: local.flags, args: local.rest, log });
  } catch (cause) {
    try {
      trace?.finish(); // also of a command that failed: that is the one people want
    } catch (error) {
      log.warn(describeError(error)); // the command's own failure is what it exits with
    }
    if (cause instanceof StdoutClosedError) throw cause;
    const exitCode = cause instanceof CommandError && cause.exitCode !== 1
      ? cause.exitCode
      : command.failure ?? 1;
    throw new CommandError(`belay ${command.name} failed`, { cause, exitCode });
  }
  trace?.finish();
  return code;
}

async function usage(problem: CommandError, command?: Command): Promise<never> {
  throw (await import("./runtime/cli/usage_error.ts")).usageError(problem, command);
}

// Not from the module's own frame: for the first stack that is taken with it below, V8 reads the whole program again.
if (import.meta.main) {
  // The launcher may have something to finish first (scripts/launcher.ts).
  const { belayExit = Deno.exit } = globalThis as { belayExit?: (code: number) => void };
  // Should nothing be left to wait for before main() has ended: that is a fault of belay's, and no success.
  Deno.exitCode = 1;
  queueMicrotask(async () => belayExit(await main(Deno.args)));
}
