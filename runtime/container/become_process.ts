import type { Kernel } from "../../ffi/kernel.ts";
import { credentialCalls, type Credentials } from "../process/credentials.ts";
import { executableCalls } from "../process/find_executable.ts";
import { lastCapability } from "../security/capabilities.ts";
import type { Process } from "../spec/types.ts";
import type { StateFile } from "../state/state_file.ts";

/**
 * Takes on the scheduling, the user, the groups, the capabilities and the working directory of a process of a
 * container, its first one or one that `exec` adds, in its root.
 * @param process With the whole environment: HOME among it.
 * @param mayGroup Whether setgroups(2) is allowed.
 * @param filtered Whether a system call filter follows.
 * @returns What it is to execute.
 * @throws CommandError in runc's words.
 */
export async function becomeProcess(
  steps: Kernel,
  thread: Kernel,
  process: Credentials & Pick<Process, "args" | "env" | "scheduler" | "ioPriority">,
  { mayGroup, filtered }: { readonly mayGroup: boolean; readonly filtered: boolean },
): Promise<Omit<NonNullable<StateFile["exec"]>, "rlimits">> {
  const { args, env } = process;
  if (process.scheduler !== undefined || process.ioPriority !== undefined) {
    (await import("../process/scheduling.ts")).schedule(steps, process);
  }
  const credentials = credentialCalls(process, lastCapability(thread), mayGroup, filtered);
  const executable = executableCalls(args[0] ?? "", env);
  let results;
  try {
    results = steps.batch([...credentials.calls, ...executable.calls]);
  } catch (cause) {
    throw credentials.explain(cause);
  }
  credentials.check(results.slice(0, credentials.calls.length));
  const path = executable.choose(results.slice(credentials.calls.length));
  return { path, args, env };
}
