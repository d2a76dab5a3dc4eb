import type { Run } from "../../cli/command.ts";
import { writeStdout } from "../../cli/write_stdout.ts";
import { type Repair, repairNetns } from "../../netns/repair_netns.ts";
import { hostCarriers } from "../host_carriers.ts";

/** `belay netns repair`: takes away names that interrupted commands left without a namespace. */
export const run: Run = ({ globals, flags }) => {
  const { thread } = hostCarriers(globals);
  const repairs = repairNetns(thread, new Date(), flags.bool("force"));
  writeStdout(
    flags.bool("json") ? `${JSON.stringify(repairs)}\n` : repairs.map(line).join(""),
  );
  return 0;
};

function line({ name, problem, repaired, why }: Repair): string {
  return `${name}: ${problem}: ${repaired ? "removed" : `left alone: ${why}`}\n`;
}
