// What a reproducer is. Each is a file in tests/repro/jobs/ that exports `job`; scripts/repro.ts finds and runs them.
import type { Needs } from "../../scripts/needs.ts";

/** One thing that is counted: how often the bug happened the naive way, and how often with belay. */
export interface Finding {
  /** What was counted, for the table: "TAPs left behind". */
  readonly what: string;
  /** How many rounds were counted. */
  readonly rounds: number;
  /** How often the naive way showed the bug. Undefined where there is no naive way to compare with. */
  readonly naive?: number;
  /** How often belay did: must be 0. */
  readonly belay: number;
  /** Where the race does not show by itself: how it was forced. */
  readonly forced?: string;
}

/** What a job may use. */
export interface World {
  /** The belay to test, as the first words of a command. */
  readonly belay: readonly string[];
  /** A directory of this job's own, gone afterwards. */
  readonly scratch: string;
  /** Printed with the report, so that a run can be repeated (`BELAY_REPRO_SEED`). */
  readonly seed: number;
  /** Tells people what happens. */
  readonly say: (line: string) => void;
}

/** The reproducer of one bug. */
export interface Job {
  /** Its name on the command line: `s0`. */
  readonly name: string;
  /** The bug in one line, with where it was seen. */
  readonly bug: string;
  /** Debian packages that it needs, and for what. */
  readonly needs?: Needs;
  /**
   * Jobs run as root in new mount, network and pid namespaces, with an empty /run/netns: nothing that they make there
   * outlives them. `false`: in the machine's pid namespace, for what must be seen or reached from there.
   */
  readonly pidNamespace?: boolean;
  /** After how long it is killed, with all that it started. */
  readonly timeoutMs?: number;
  /** Why it cannot run here, asked inside of the namespaces; undefined when it can. */
  obstacle?(world: World): Promise<string | undefined> | string | undefined;
  /** Shows the bug the naive way, then belay's way, counts both, and cleans up. Throws when anything else goes wrong. */
  run(world: World): Promise<readonly Finding[]>;
}

/** How a job ended. */
export interface Result {
  readonly name: string;
  readonly bug: string;
  readonly seconds: number;
  readonly findings: readonly Finding[];
  /** Why it did not run. */
  readonly skipped?: string;
  /** Everything that was not as it has to be. */
  readonly failures: readonly string[];
}

/** What is wrong with the findings of a job: belay showed the bug, or the naive way did not. */
export function judge(findings: readonly Finding[]): string[] {
  if (findings.length === 0) return ["nothing was counted"];
  const wrong = findings.flatMap(({ what, rounds, naive, belay }) => [
    ...(rounds > 0 ? [] : [`${what}: no round was run`]),
    ...(belay === 0 ? [] : [`${what}: ${belay} in ${rounds} rounds of belay's way`]),
    ...(naive === 0 ? [`${what}: the naive way did not show the bug in ${rounds} rounds`] : []),
  ]);
  if (findings.every(({ naive }) => naive === undefined)) wrong.push("no naive way was counted");
  return wrong;
}
