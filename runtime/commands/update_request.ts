import type { Invocation } from "../cli/command.ts";
import type { ParsedFlags } from "../cli/parsed_flags.ts";
import { parseBytes } from "../cli/parse_bytes.ts";
import { UPDATE_FLAGS } from "../cli/update_flags.ts";
import { parseExactJson } from "../spec/parse_json.ts";
import { RESOURCES } from "../spec/resources_schema.ts";
import type { LinuxResources } from "../spec/types.ts";
import { ValidationError } from "../spec/validation_error.ts";

/** Where the values of an update stand in config.json, and so in error messages. */
const AT = "linux.resources";

/**
 * The limits that `update` is asked for: those in `--resources FILE`, or `-` for standard input, and then, as with
 * runc, no others; else those of the flags.
 * @throws {ValidationError}
 */
export function updateRequest({ flags, log }: Invocation): LinuxResources {
  const file = flags.string("resources");
  const beside = UPDATE_FLAGS.find(({ name }) => (flags.string(name) ?? "") !== "");
  if (file !== undefined && file !== "" && beside !== undefined) {
    throw new ValidationError(
      "--resources",
      `takes the place of all others; leave --${beside.name} out`,
    );
  }
  const given = file === undefined || file === ""
    ? fromFlags(flags)
    : withoutUnset(parseExactJson(readResources(file), file === "-" ? "standard input" : file));
  const warnings: string[] = [];
  const resources = RESOURCES.parse(given, AT, warnings);
  checkSwap(resources);
  for (const warning of warnings) log.warn(warning);
  if (resources.devices.length > 0) {
    // containerd's CRI sends all of linux.resources back.
    log.warn(`${AT}.devices: not changed; rules for devices are made when a container is`);
  }
  return resources;
}

function readResources(file: string): string {
  try {
    return file === "-" ? readStdin() : Deno.readTextFileSync(file);
  } catch (cause) {
    throw new ValidationError("--resources", `cannot read ${file}`, { cause });
  }
}

/** By its descriptor: /dev/stdin is not everywhere. */
function readStdin(): string {
  const decoder = new TextDecoder();
  const chunk = new Uint8Array(0x4000);
  let text = "";
  for (;;) {
    const length = Deno.stdin.readSync(chunk);
    if (length === null) return text + decoder.decode();
    text += decoder.decode(chunk.subarray(0, length), { stream: true });
  }
}

/** In runc's format for updates 0 is "unchanged" for everything, also for the number of processes. */
function withoutUnset(json: unknown): unknown {
  if (typeof json !== "object" || json === null || !("pids" in json)) return json;
  const { pids } = json;
  const unset = typeof pids === "object" && pids !== null && "limit" in pids && pids.limit === 0;
  return unset ? { ...json, pids: undefined } : json;
}

/** An object like that in config.json. */
function fromFlags(flags: ParsedFlags): Record<string, Record<string, unknown>> {
  const json: Record<string, Record<string, unknown>> = {};
  for (const { name, field: [group, member], kind } of UPDATE_FLAGS) {
    const text = flags.string(name);
    if (text === undefined || text === "") continue;
    const value = kind === "text" ? text : numberOf(name, text, kind);
    if (value === 0n && kind !== "switch") continue; // runc's "not set"
    (json[group] ??= {})[member] = kind === "switch" || kind === "small" ? Number(value) : value;
  }
  return json;
}

function numberOf(
  name: string,
  text: string,
  kind: "bytes" | "number" | "small" | "switch",
): bigint {
  if (kind === "bytes") {
    const bytes = parseBytes(text);
    if (bytes !== undefined) return bytes;
    throw new ValidationError(`--${name}`, `must be a size like 64M, or -1, got "${text}"`);
  }
  if (/^-?\d{1,20}$/.test(text)) return BigInt(text);
  throw new ValidationError(`--${name}`, `must be a whole number, got "${text}"`);
}

/** Of the two, what is asked for; beside what is there already the kernel compares them. */
function checkSwap({ memory: { limit, swap } = {} }: LinuxResources): void {
  if (swap === undefined || swap <= 0n || limit === undefined) return;
  if (limit !== -1n && swap >= limit) return;
  throw new ValidationError(
    `${AT}.memory.swap`,
    `limits memory and swap together and must be at least the memory limit, got ${swap} and ${limit}`,
  );
}
