// getUsernsFd beside the naive way and unshare(1): issue 4, section 6.
import type { BenchWorld, Measurement, Section } from "../section.ts";
import { benchUserns } from "../userns.ts";

async function run({ scratch, rounds }: BenchWorld): Promise<Measurement[]> {
  const rows = await benchUserns(scratch, rounds);
  const ours = rows[0]?.ms ?? NaN;
  return [{
    title: "a user namespace with maps",
    table: [
      ["", "median ms", "least", "most", "beside getUsernsFd"],
      ...rows.map(({ name, ms, range: [least, most] }) => [
        ...[name, ms.toFixed(2), least.toFixed(2), most.toFixed(2), (ms / ours).toFixed(2)],
      ]),
    ],
    verdicts: [{
      ...{ what: "getUsernsFd, one after the other", measured: `${ours.toFixed(2)} ms` },
      ...{ bound: "≤ 0.4 ms", met: ours <= 0.4 },
    }],
  }];
}

/** `--only userns`. */
export const section: Section = {
  name: "userns",
  what: "getUsernsFd, one after the other and 100 at once",
  needs: { uidmap: "writes the maps of unshare -U" },
  run,
};
