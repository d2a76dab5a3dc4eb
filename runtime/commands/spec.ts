import type { Invocation } from "../cli/command.ts";
import { CommandError } from "../cli/command_error.ts";
import { defaultSpec, rootlessSpec } from "../spec/default_spec.ts";

/**
 * `belay spec`: writes a config.json to begin with, indented as runc's, and never over another.
 *
 * @throws {CommandError} when there is a config.json, or none can be made.
 */
export function run({ flags }: Invocation): number {
  const bundle = flags.string("bundle");
  const path = bundle === undefined || bundle === "" ? "config.json" : `${bundle}/config.json`;
  const host = { cgroup2: hasOnlyCgroup2() };
  const spec = flags.bool("rootless")
    ? rootlessSpec({ uid: Deno.uid() ?? 0, gid: Deno.gid() ?? 0 }, host)
    : defaultSpec(host);
  try {
    // createNew: another `belay spec` in the same moment loses, and symbolic links lead nowhere.
    Deno.writeTextFileSync(path, JSON.stringify(spec, null, "\t"), { createNew: true });
  } catch (cause) {
    if (cause instanceof Deno.errors.AlreadyExists) {
      throw new CommandError("File config.json exists. Remove it first");
    }
    throw new CommandError(`writing ${path}`, { cause });
  }
  return 0;
}

/** Whether the host has nothing but cgroup v2 (cgroups(7)): a hybrid one has it elsewhere. */
function hasOnlyCgroup2(): boolean {
  try {
    return Deno.statSync("/sys/fs/cgroup/cgroup.controllers").isFile;
  } catch {
    return false; // No such file: v1, hybrid, or no cgroups at all.
  }
}
