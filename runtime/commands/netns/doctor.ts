import type { Run } from "../../cli/command.ts";
import { CommandError } from "../../cli/command_error.ts";
import { describeError } from "../../cli/describe_error.ts";
import { printable } from "../../cli/printable.ts";
import { writeStdout } from "../../cli/write_stdout.ts";
import { examine } from "../../netns/doctor/examine.ts";
import { type Case, type Finding, FINDING_KINDS } from "../../netns/doctor/finding.ts";
import { hostCarriers } from "../host_carriers.ts";

/** What became of a finding. */
interface Outcome {
  /** What was done, in the past; absent when nothing was. */
  readonly done?: string;
  /** Why nothing was done. */
  readonly left?: string;
}

/** `belay netns doctor`: what is left behind in network namespaces, and with `--fix` the end of it. */
export const run: Run = ({ globals, flags, log }) => {
  const only = flags.strings("only");
  const kinds = new Set(FINDING_KINDS.filter((kind) => only.length === 0 || only.includes(kind)));
  const [json, fix, yes] = [flags.bool("json"), flags.bool("fix"), flags.bool("yes")];
  if (yes && !fix) throw new CommandError("--yes: goes with --fix, which asks");
  const ask = json || !Deno.stdin.isTerminal() ? undefined : confirm;
  using examination = examine(hostCarriers(globals), kinds, Deno.env.get("BELAY_CACHE") !== "off");
  for (const each of examination.unseen) log.warn(`not seen: ${each}`);
  const results = examination.cases.map((each) => {
    if (!json) writeStdout(text(each.finding));
    if (!fix) return { finding: each.finding, outcome: undefined };
    const outcome = treat(each, yes, ask);
    if (!json) writeStdout(`  ${printable(outcome.done ?? `left: ${outcome.left}`)}\n`);
    return { finding: each.finding, outcome };
  });
  if (json) {
    writeStdout(
      `${JSON.stringify(results.map(({ finding, outcome }) => ({ ...finding, ...outcome })))}\n`,
    );
  } else if (results.length === 0) writeStdout("nothing was left behind\n");
  return results.some(({ outcome }) => outcome?.done === undefined) ? 1 : 0;
};

function text({ kind, netns, what, certain, remedy }: Finding): string {
  const where = netns === null ? "" : ` net:[${netns}]`;
  const doubt = remedy === null
    ? ""
    : `  ${certain ? "remedy" : "if nobody wants it"}: ${printable(remedy)}\n`;
  return `${kind}${where}: ${printable(what)}\n${doubt}`;
}

/** Does what is certainly right, and the rest when somebody says so. */
function treat(
  { finding, cure }: Case,
  yes: boolean,
  ask: ((question: string) => boolean) | undefined,
): Outcome {
  const { certain, remedy } = finding;
  if (remedy === null) return { left: "there is nothing that doctor could do about it" };
  if (!certain && !yes) {
    if (ask === undefined) return { left: "it may be wanted; --yes does it" };
    if (!ask(`  ${printable(remedy)}?`)) return { left: "as you wish" };
  }
  try {
    return { done: cure() };
  } catch (error) {
    // Told with its finding, and in the exit code; the other findings are treated all the same.
    return { left: describeError(error) };
  }
}
