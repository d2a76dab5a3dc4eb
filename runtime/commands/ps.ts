import type { Kernel } from "../../ffi/kernel.ts";
import type { Run } from "../cli/command.ts";
import { CommandError } from "../cli/command_error.ts";
import { containerId } from "../cli/container_id.ts";
import { writeStdout } from "../cli/write_stdout.ts";
import { listProcesses } from "../cgroup/processes.ts";
import { freezerOf } from "../cgroup/freezer.ts";
import { linesOf } from "../process/ps_table.ts";
import { StateDir } from "../state/state_dir.ts";
import type { StateFile } from "../state/state_file.ts";
import { hostThread } from "./host_thread.ts";

/**
 * `belay ps`: the processes of a container, as the host numbers them. What they are is the host's ps(1) that tells,
 * with whatever options are given (default: -ef); of its lines those of the container are printed.
 */
export const run: Run = async ({ globals, flags, args }) => {
  const thread = hostThread();
  const [id = "", ...options] = args;
  const dir = StateDir.expect(thread, globals.root, containerId(id));
  using _dir = dir; // named twice: see tests/unit/build_using_test.ts
  const state = dir.read();
  const before = processes(thread, state);
  if (flags.string("format") === "json") {
    writeStdout(`${JSON.stringify(before)}\n`);
    return 0;
  }
  const table = await ps(options.length === 0 ? ["-ef"] : options);
  // A number that is the container's before and after was nobody else's meanwhile, or of one that came and went.
  const after = new Set(processes(thread, state));
  writeStdout(linesOf(table, new Set(before.filter((pid) => after.has(pid)))));
  return 0;
};

/** The numbers of a container's processes; those of one that is gone are none. */
function processes(thread: Kernel, state: StateFile | undefined): number[] {
  const cgroups = state?.cgroups ?? [];
  const directory = freezerOf(cgroups) ?? cgroups[0];
  if (directory !== undefined) return listProcesses(thread, directory.path).sort((a, b) => a - b);
  if (state === undefined) return [];
  throw new CommandError("the container has no cgroup, which would tell its processes");
}

async function ps(options: readonly string[]): Promise<string> {
  let output;
  try {
    output = await new Deno.Command("ps", { args: [...options], stdin: "null" }).output();
  } catch (cause) {
    throw new CommandError("ps cannot be executed on the host", { cause });
  }
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  if (output.success) return text(output.stdout);
  const said = text(output.stderr).trim().split("\n")[0] ?? "";
  throw new CommandError(`ps ${options.join(" ")}: exit status ${output.code}: ${said}`);
}
