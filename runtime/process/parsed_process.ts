import type { ParsedFlags } from "../cli/parsed_flags.ts";
import { CommandError } from "../cli/command_error.ts";
import type { Logger } from "../log/logger.ts";
import { parseExactJson, parseJson } from "../spec/parse_json.ts";
import { PROCESS } from "../spec/process_schema.ts";
import type { Process } from "../spec/types.ts";
import { validateProcess } from "../spec/validate_process.ts";
import { InexactNumber, ValidationError } from "../spec/validation_error.ts";
import type { StoredProcess } from "../state/state_file.ts";
import { changes } from "./added_process.ts";

/**
 * The process that `exec` adds, where it has to be checked by the rules of config.json: a file describes it, or it
 * gets capabilities or labels by flags.
 * @throws ValidationError that names the field; CommandError for a file that cannot be read.
 */
export function parsedProcess(
  base: StoredProcess,
  flags: ParsedFlags,
  args: readonly string[],
  log: Logger,
): Process {
  const warnings: string[] = [];
  const file = flags.string("process");
  const process = file === undefined
    ? parse(asJson(base, flags, args), warnings)
    : parseProcessText(readText(file), base, warnings);
  for (const warning of warnings) log.warn(warning);
  return process;
}

/**
 * Reads a process in the form of `process` in config.json. Capabilities and limits that it does not mention are those
 * of the container's own process, as with runc.
 * @throws ValidationError
 */
export function parseProcessText(
  text: string,
  base: StoredProcess,
  warnings: string[],
): Process {
  try {
    return parse(complete(parseJson(text, "process"), base), warnings);
  } catch (error) {
    if (!(error instanceof InexactNumber)) throw error;
    return parse(complete(parseExactJson(text, "process"), base), warnings);
  }
}

function parse(json: unknown, warnings: string[]): Process {
  const process = PROCESS.parse(json, "process", warnings);
  validateProcess(process, warnings);
  return process;
}

function complete(json: unknown, base: StoredProcess): unknown {
  if (typeof json !== "object" || json === null || Array.isArray(json)) return json;
  const { capabilities, rlimits } = inherited(base);
  return { capabilities, rlimits, ...json };
}

function inherited({ rlimits, ...rest }: StoredProcess) {
  const exact = rlimits.map(({ type, soft, hard }) => ({
    ...{ type, soft: BigInt(soft), hard: BigInt(hard) },
  }));
  return { ...rest, rlimits: exact };
}

function asJson(base: StoredProcess, flags: ParsedFlags, args: readonly string[]): unknown {
  if (args.length === 0) throw new CommandError("process args cannot be empty");
  const all = inherited(base);
  const caps = flags.strings("cap");
  const { capabilities } = base;
  const apparmorProfile = flags.string("apparmor");
  const selinuxLabel = flags.string("process-label");
  return {
    ...all,
    ...changes(base, flags),
    args,
    terminal: flags.bool("tty"),
    capabilities: {
      ...capabilities,
      bounding: [...capabilities.bounding, ...caps],
      effective: [...capabilities.effective, ...caps],
      permitted: [...capabilities.permitted, ...caps],
    },
    ...(apparmorProfile === undefined ? {} : { apparmorProfile }),
    ...(selinuxLabel === undefined ? {} : { selinuxLabel }),
  };
}

function readText(file: string): string {
  try {
    return Deno.readTextFileSync(file);
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) {
      throw new CommandError(`--process: ${file}: no such file or directory`);
    }
    throw new ValidationError("--process", `${file} cannot be read`, { cause });
  }
}
