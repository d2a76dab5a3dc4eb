// `belay netns list` beside lsns: issue 4, section 6.
import { Meter } from "../meter.ts";
import { benchNetnsList } from "../netns_list.ts";
import type { BenchWorld, Measurement, Section } from "../section.ts";

async function run({ ours, scratch, rounds }: BenchWorld): Promise<Measurement[]> {
  using meter = new Meter();
  const rows = await benchNetnsList(meter, ours, scratch, rounds);
  const lsns = rows.at(-1)?.ms ?? NaN;
  return [{
    title: "netns list, 200 namespaces, 10,000 descriptors",
    table: [
      ["", "median ms", "least", "most", "beside lsns", "cpu ms", "peak MB"],
      ...rows.map(({ name, ms, range: [least, most], cpuMs, peakKb }) => [
        ...[name, ms.toFixed(1), least.toFixed(1), most.toFixed(1), (ms / lsns).toFixed(2)],
        ...[cpuMs.toFixed(1), (peakKb / 1024).toFixed(0)],
      ]),
    ],
    verdicts: rows.slice(0, -1).map(({ name, ms }) => ({
      ...{ what: `${name}: netns list beside lsns`, measured: `${(ms / lsns).toFixed(2)} ×` },
      ...{ bound: "≤ 3 ×, finding more", met: ms / lsns <= 3 },
    })),
  }];
}

/** `--only netns-list`. */
export const section: Section = {
  name: "netns-list",
  what: "netns list of 200 namespaces and 10,000 descriptors",
  run,
};
