import type { Run } from "../../cli/command.ts";
import { CommandError } from "../../cli/command_error.ts";
import { printable } from "../../cli/printable.ts";
import { writeStdout } from "../../cli/write_stdout.ts";
import { identifyNetns } from "../../netns/identify_netns.ts";
import { hostThread } from "../host_thread.ts";

/** `belay netns identify`: which names the network namespace of a process has. */
export const run: Run = ({ flags, args: [pid] }) => {
  const thread = hostThread();
  const identified = identifyNetns(thread, pid === undefined ? Deno.pid : processNumber(pid));
  writeStdout(
    flags.bool("json")
      ? `${JSON.stringify(identified)}\n`
      : identified.names.map((name) => `${printable(name)}\n`).join(""),
  );
  return 0;
};

function processNumber(text: string): number {
  if (/^[1-9]\d{0,9}$/.test(text)) return Number(text);
  throw new CommandError(`${JSON.stringify(text)} is no process number`);
}
