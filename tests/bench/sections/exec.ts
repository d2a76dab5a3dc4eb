// `exec` of /bin/true in a running container, beside runc.
import { peers, type Runtime } from "../contestants.ts";
import { Meter } from "../meter.ts";
import { inTurns, makeBundle } from "../rounds.ts";
import type { BenchWorld, Measurement, Section } from "../section.ts";

const CONTAINER = "bench";

async function run({ ours, scratch, rounds }: BenchWorld): Promise<Measurement[]> {
  const [first] = ours;
  const [runc] = await peers(scratch, ["runc"]);
  if (first === undefined) throw new Error("nothing was built");
  const cwd = await makeBundle(first, `${scratch}/exec`, ["/bin/sleep", "1000"]);
  using meter = new Meter();
  const runtimes = [...(runc === undefined ? [] : [runc]), ...ours];
  const ask = ({ words }: Runtime, ...args: string[]) =>
    meter.run({ words: [...words, ...args], cwd });
  try {
    for (const runtime of runtimes) {
      const { status } = ask(runtime, "run", "--detach", CONTAINER);
      if (status !== 0) throw new Error(`${runtime.name}: run: exit status ${status}`);
    }
    const rows = await inTurns(
      runtimes.map((runtime) => ({
        name: runtime.name,
        measure: () => ask(runtime, "exec", CONTAINER, "/bin/true"),
      })),
      rounds,
    );
    const yardstick = rows.find(({ name }) => name === runc?.name)?.ms ?? NaN;
    return [{
      title: "exec of /bin/true",
      table: [
        ["", "median ms", "least", "most", "beside runc", "cpu ms"],
        ...rows.map(({ name, ms, range: [least, most], cpuMs }) => [
          ...[name, ms.toFixed(1), least.toFixed(1), most.toFixed(1)],
          ...[(ms / yardstick).toFixed(2), cpuMs.toFixed(1)],
        ]),
      ],
      verdicts: ours.map(({ name }) => {
        const ratio = (rows.find((row) => row.name === name)?.ms ?? NaN) / yardstick;
        return {
          what: `${name}: exec beside runc`,
          measured: `${ratio.toFixed(2)} ×`,
          bound: "< 1 ×, aim 0.8",
          met: ratio < 1,
        };
      }),
    }];
  } finally {
    for (const runtime of runtimes) ask(runtime, "delete", "--force", CONTAINER);
  }
}

/** For scripts/bench.ts. */
export const section: Section = {
  name: "exec",
  what: "exec of /bin/true",
  run,
};
