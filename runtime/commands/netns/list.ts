import { sleep } from "../../../ffi/syscalls/event.ts";
import type { Run } from "../../cli/command.ts";
import type { ParsedFlags } from "../../cli/parsed_flags.ts";
import { CommandError } from "../../cli/command_error.ts";
import { writeStdout } from "../../cli/write_stdout.ts";
import type { Way } from "../../netns/discover/discover.ts";
import { HOLDER_KINDS } from "../../netns/discover/holder.ts";
import { netnsReports } from "../../netns/list/json.ts";
import { type Survey, survey, type SurveyOptions } from "../../netns/list/survey.ts";
import { netnsTable } from "../../netns/list/table.ts";
import { hostCarriers } from "../host_carriers.ts";

/** `belay netns list`: every network namespace within sight, and what keeps it. */
export const run: Run = async ({ globals, flags, log }) => {
  const carriers = hostCarriers(globals);
  const options = optionsOf(flags);
  const print = await printer(flags);
  const first = await survey(carriers, options);
  writeStdout(print(first));
  for (const each of first.unseen) log.warn(`not seen: ${each}`);
  if (!flags.bool("watch")) return 0;
  const { changes, remember } = await import("../../netns/list/watch.ts");
  const interval = flags.int("interval") ?? 0;
  // Until a signal, or a reader that is gone, ends it.
  for (let before = remember(first);;) {
    carriers.thread.call(sleep(interval));
    const found = await survey(carriers, options);
    const now = remember(found);
    const changed = changes(before, now);
    before = now;
    if (changed.length === 0) continue;
    writeStdout(flags.bool("json") ? print(found) : changed.map((line) => `${line}\n`).join(""));
  }
};

function optionsOf(flags: ParsedFlags): SurveyOptions {
  const chosen = flags.strings("held-by");
  if (flags.bool("only") && chosen.length === 0) {
    throw new CommandError("--only: goes with --held-by, which says of what kind alone");
  }
  const json = flags.bool("json");
  return {
    way: (flags.string("scan") ?? "auto") as Way, // one of the flag's choices
    kinds: HOLDER_KINDS.filter((kind) => chosen.includes(kind)),
    only: flags.bool("only"),
    long: flags.bool("long") || json,
    tree: flags.bool("tree") && !json,
    useCache: Deno.env.get("BELAY_CACHE") !== "off",
  };
}

/** How a look is printed. */
async function printer(flags: ParsedFlags): Promise<(found: Survey) => string> {
  if (flags.bool("json")) return (found) => `${JSON.stringify(netnsReports(found))}\n`;
  if (!flags.bool("tree")) return (found) => netnsTable(found, flags.bool("long"));
  const { netnsTree } = await import("../../netns/list/tree.ts");
  return (found) => netnsTree(found, found.users);
}
