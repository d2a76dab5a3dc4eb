import type { Run } from "../../cli/command.ts";
import { writeStdout } from "../../cli/write_stdout.ts";
import { countedNames } from "../../netns/netns_name.ts";
import { removeNetns } from "../../netns/remove_netns.ts";
import { hostCarriers } from "../host_carriers.ts";

/** `belay netns delete`: takes names away. */
export const run: Run = ({ globals, flags, args }) => {
  const { thread } = hostCarriers(globals);
  const names = args.flatMap((name) => countedNames(name, flags.int("count")));
  const removed = removeNetns(thread, names, flags.bool("force"));
  if (flags.bool("json")) writeStdout(`${JSON.stringify(removed)}\n`);
  return 0;
};
