import type { Kernel } from "../../ffi/kernel.ts";
import type { Invocation } from "../cli/command.ts";
import { CommandError } from "../cli/command_error.ts";
import { containerId } from "../cli/container_id.ts";
import { frozen } from "../container/frozen.ts";
import { seeContainer, type Seen } from "../container/status.ts";
import { StateDir } from "../state/state_dir.ts";
import type { StateFile } from "../state/state_file.ts";
import { hostThread } from "./host_thread.ts";

/** A container as a command that changes it finds it. */
export interface Found extends Seen {
  readonly thread: Kernel;
  readonly state: StateFile | undefined;
}

/**
 * Looks at the container that the command line names, and holds its lock meanwhile: nobody creates, starts or deletes
 * it, and others who change it wait for each other.
 * @throws CommandError when there is none.
 */
export async function withContainer(
  { globals, args }: Invocation,
  work: (found: Found) => number | Promise<number>,
): Promise<number> {
  const thread = hostThread();
  using dir = StateDir.expect(thread, globals.root, containerId(args[0] ?? ""));
  if (!dir.lockOrGone()) throw new CommandError("container does not exist");
  const state = dir.read();
  const seen = seeContainer(thread, dir, state, () => frozen(thread, state));
  using _init = seen.init;
  return await work({ ...seen, thread, state });
}
