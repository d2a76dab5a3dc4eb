// `exec` of /bin/true in a running container, beside runc.
import { peers, type Runtime } from "../contestants.ts";
import { Meter } from "../meter.ts";
import { inTurns, makeBundle } from "../rounds.ts";
import type { BenchWorld, Measurement, Section } from "../section.ts";

/** The containers run side by side, and each has the cgroups of its id: no two ids are the same. */
const idOf = (contestant: number) => `bench-exec-${contestant}`;

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
    for (const [i, runtime] of runtimes.entries()) {
      const { status } = ask(runtime, "run", "--detach", idOf(i));
      if (status !== 0) throw new Error(`${runtime.name}: run: exit status ${status}`);
    }
    const rows = await inTurns(
      runtimes.map((runtime, i) => ({
        name: runtime.name,
        measure: () => ask(runtime, "exec", idOf(i), "/bin/true"),
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
    for (const [i, runtime] of runtimes.entries()) ask(runtime, "delete", "--force", idOf(i));
  }
}

/** For scripts/bench.ts. */
export const section: Section = {
  name: "exec",
  what: "exec of /bin/true",
  run,
};
