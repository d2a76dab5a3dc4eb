import { CommandError } from "../cli/command_error.ts";
import type { ParsedFlags } from "../cli/parsed_flags.ts";

/** Descriptors from 3 on that a program gets from belay's caller, and how it is told of them. */
export interface PassedDescriptors {
  readonly preserveFds: number;
  /** What else goes into the environment (LISTEN_FDS). */
  readonly extraEnv: readonly string[];
}

/** What `--preserve-fds` and socket activation ask for. @throws CommandError */
export function passedDescriptors(flags: ParsedFlags): PassedDescriptors {
  const listening = listened();
  return {
    preserveFds: (flags.int("preserve-fds") ?? 0) + listening,
    extraEnv: listening === 0 ? [] : [`LISTEN_FDS=${listening}`, "LISTEN_PID=1"],
  };
}

/**
 * How many descriptors socket activation passes (sd_listen_fds(3)); runc hands them on, and so does belay. Those of
 * another process (LISTEN_PID), whose environment belay has inherited, are not belay's to hand on.
 */
function listened(): number {
  const given = Deno.env.get("LISTEN_FDS");
  if (given === undefined || given === "" || Deno.env.get("LISTEN_PID") !== String(Deno.pid)) {
    return 0;
  }
  if (/^\d{1,5}$/.test(given)) return Number(given);
  throw new CommandError(`LISTEN_FDS: must be a number, got ${JSON.stringify(given)}`);
}
