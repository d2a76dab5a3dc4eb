import type { Run } from "../../cli/command.ts";
import { printable } from "../../cli/printable.ts";
import { writeStdout } from "../../cli/write_stdout.ts";
import { type Repair, repairNetns } from "../../netns/repair_netns.ts";
import { hostThread } from "../host_thread.ts";

/** `belay netns repair`: takes away names that interrupted commands left without a namespace. */
export const run: Run = ({ flags }) => {
  const thread = hostThread();
  const repairs = repairNetns(thread, new Date(), flags.bool("force"));
  writeStdout(
    flags.bool("json") ? `${JSON.stringify(repairs)}\n` : repairs.map(line).join(""),
  );
  return 0;
};

function line({ name, problem, repaired, why }: Repair): string {
  return `${printable(name)}: ${problem}: ${repaired ? "removed" : `left alone: ${why}`}\n`;
}
