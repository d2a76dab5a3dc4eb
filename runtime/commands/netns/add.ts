import type { Run } from "../../cli/command.ts";
import { writeStdout } from "../../cli/write_stdout.ts";
import { addNetns } from "../../netns/add_netns.ts";
import { countedNames } from "../../netns/netns_name.ts";
import { hostCarriers } from "../host_carriers.ts";

/** `belay netns add`: makes network namespaces and gives them names. */
export const run: Run = ({ globals, flags, args: [name = ""], log }) => {
  const added = addNetns(hostCarriers(globals), countedNames(name, flags.int("count")), log);
  if (flags.bool("json")) writeStdout(`${JSON.stringify(added)}\n`);
  return 0;
};
