import { makeBundle } from "./bundle.ts";
import { capture } from "../step.ts";
import { emptyDeno } from "./empty_deno.ts";
import type { Cell } from "./screen.ts";
import type { Stage } from "./stage.ts";

const ROUNDS = 15;

/** Measures `run` of /bin/true beside what it can be compared with, in turns. */
export async function showTimes(stage: Stage, rootfs: string): Promise<void> {
  const { screen } = stage;
  screen.chapter("Times");
  const bundle = await makeBundle(stage, "true", rootfs, (config) => {
    config.process.args = ["/bin/true"];
  });
  const empty = await emptyDeno(stage.belay, stage.scratch);
  const runc = (await capture(["runc", "--version"])).code === 0;
  const contestants: [string, readonly string[]][] = [
    ["belay run /bin/true", stage.words("run", "timed")],
    ...empty === undefined ? [] : [["an empty Deno program", empty] as [string, string[]]],
    ...runc
      ? [["runc run /bin/true", ["runc", "--root", `${stage.scratch}/runc`, "run", "timed"]] as [
        string,
        string[],
      ]]
      : [],
  ];
  const times = contestants.map((): number[] => []);
  await stage.step(`${ROUNDS} times each, in turns`, async (progress) => {
    for (let round = 0; round < ROUNDS; round++) {
      progress(round / ROUNDS);
      for (const [i, [, words]] of contestants.entries()) {
        const start = performance.now();
        const { code, stderr } = await capture(words, { cwd: bundle });
        if (code !== 0) throw new Error(`${words.join(" ")}: exit code ${code}: ${stderr}`);
        times[i]?.push(performance.now() - start);
      }
    }
  });
  const first = median(times[0] ?? []);
  screen.table([
    [["", "dim"], ["median", "dim"], ["beside belay", "dim"]],
    ...contestants.map(([name], i): Cell[] => {
      const ms = median(times[i] ?? []);
      return [name, [`${ms.toFixed(1)} ms`, "bold"], `${(ms / first).toFixed(2)} ×`];
    }),
  ]);
  screen.say(
    runc
      ? "`deno task bench` measures more, and more exactly."
      : "`deno task bench` installs runc and crun and measures belay beside them.",
  );
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? 0;
}
