import type { Run } from "../../cli/command.ts";
import { writeStdout } from "../../cli/write_stdout.ts";
import { countedNames } from "../../netns/netns_name.ts";
import { removeNetns } from "../../netns/remove_netns.ts";
import { hostThread } from "../host_thread.ts";

/** `belay netns delete`: takes names away. */
export const run: Run = ({ flags, args }) => {
  const thread = hostThread();
  const names = args.flatMap((name) => countedNames(name, flags.int("count")));
  const removed = removeNetns(thread, names, flags.bool("force"));
  if (flags.bool("json")) writeStdout(`${JSON.stringify(removed)}\n`);
  return 0;
};
