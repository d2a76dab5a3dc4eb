import type { ParsedFlags } from "../cli/parsed_flags.ts";
import { CommandError } from "../cli/command_error.ts";
import type { Logger } from "../log/logger.ts";
import type { Process } from "../spec/types.ts";
import type { StoredProcess } from "../state/state_file.ts";

/** The flags that need the parser of config.json. */
const PARSED = ["process", "cap", "apparmor", "process-label"] as const;

/**
 * What `exec` adds to a container: the container's own process, changed by flags (runc's rules), or another one, which
 * a file describes in the form of `process` in config.json.
 * @param args The program and its arguments; none with `--process`.
 * @throws CommandError, or a ValidationError that names the field.
 */
export async function addedProcess(
  base: StoredProcess,
  flags: ParsedFlags,
  args: readonly string[],
  log: Logger,
): Promise<Process> {
  const needsParser = PARSED.some((name) =>
    name === "cap" ? flags.strings(name).length > 0 : flags.string(name) !== undefined
  );
  if (needsParser) {
    const { parsedProcess } = await import("./parsed_process.ts");
    return parsedProcess(base, flags, args, log);
  }
  if (args.length === 0) throw new CommandError("process args cannot be empty");
  const terminal = flags.bool("tty");
  const rlimits = base.rlimits.map(({ type, soft, hard }) => ({
    ...{ type, soft: BigInt(soft), hard: BigInt(hard) },
  })) as Process["rlimits"];
  return { ...base, ...changes(base, flags), args: [...args], terminal, rlimits };
}

/** What the flags change of the container's process. @throws CommandError */
export function changes(
  base: StoredProcess,
  flags: ParsedFlags,
): Pick<Process, "cwd" | "env" | "user" | "noNewPrivileges"> {
  const cwd = flags.string("cwd") ?? base.cwd;
  if (!cwd.startsWith("/")) throw new CommandError("Cwd must be an absolute path");
  const env = flags.strings("env");
  for (const each of env) {
    if (each.indexOf("=") > 0) continue;
    throw new CommandError(`invalid environment variable: ${JSON.stringify(each)}`);
  }
  const { user } = base;
  const more = flags.strings("additional-gids").map((text) => idOf(text, "--additional-gids"));
  return {
    cwd,
    env: [...base.env, ...env],
    user: {
      ...user,
      ...ids(flags.string("user")),
      additionalGids: [...user.additionalGids, ...more],
    },
    noNewPrivileges: base.noNewPrivileges || flags.bool("no-new-privs"),
  };
}

/** `UID[:GID]`; without a group it stays what it is, as with runc. */
function ids(text: string | undefined): Partial<Pick<Process["user"], "uid" | "gid">> {
  if (text === undefined || text === "") return {};
  const colon = text.indexOf(":");
  if (colon < 0) return { uid: idOf(text, "--user") };
  return {
    uid: idOf(text.slice(0, colon), "--user"),
    gid: idOf(text.slice(colon + 1), "--user"),
  };
}

function idOf(text: string, flag: string): number {
  // The largest means "none" to the kernel.
  if (/^\d{1,10}$/.test(text) && Number(text) < 0xffffffff) return Number(text);
  throw new CommandError(
    `${flag}: ${JSON.stringify(text)} is not a number from 0 to ${0xffffffff - 1}`,
  );
}
