// Network namespaces with names: belay beside iproute2, in a mount namespace with a fresh /run for each measurement.
import { median } from "../meter.ts";
import { mustRun } from "../../../scripts/step.ts";
import type { BenchWorld, Measurement, Section } from "../section.ts";

/** Processes at once. */
const AT_ONCE = 100;
/** Namespaces of one process. */
const MANY = 1000;
/** The loop of `ip netns` alone takes seconds a round. */
const MOST_ROUNDS = 3;

/** One way to make and remove namespaces: shell commands, of which the second removes what the first has made. */
interface Way {
  readonly name: string;
  readonly add: string;
  readonly remove: string;
}

/** Milliseconds for both, apart from each other. */
async function measure({ add, remove }: Way): Promise<{ add: number; remove: number }> {
  const stdout = await mustRun([
    ...["unshare", "--mount", "--propagation", "private", "--", "bash", "-e", "-c"],
    `mount -t tmpfs tmpfs /run; LC_ALL=C
     a=$EPOCHREALTIME; ${add}
     b=$EPOCHREALTIME; ${remove}
     c=$EPOCHREALTIME; test -z "$(ls /run/netns)"
     echo $a $b $c`,
  ]);
  const [a = NaN, b = NaN, c = NaN] = stdout.trim().split(" ").map(Number);
  return { add: (b - a) * 1000, remove: (c - b) * 1000 };
}

/** All ways, in turns. */
async function compare(
  title: string,
  ways: readonly Way[],
  count: number,
  rounds: number,
): Promise<{ measurement: Omit<Measurement, "verdicts">; ratio: (name: string) => number }> {
  const all = ways.map((): { add: number; remove: number }[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [i, way] of ways.entries()) all[i]?.push(await measure(way));
  }
  const rows = ways.map(({ name }, i) => {
    const middle = (of: "add" | "remove") => median(all[i]?.map((each) => each[of]) ?? []);
    const whole = median(all[i]?.map(({ add, remove }) => add + remove) ?? []);
    return { name, add: middle("add"), remove: middle("remove"), whole };
  });
  const ip = rows.find(({ name }) => name === "ip netns")?.whole ?? NaN;
  const table = [
    ["", "ms each", "add", "delete", "beside ip netns"],
    ...rows.map(({ name, add, remove, whole }) => [
      name,
      ...[whole, add, remove].map((ms) => (ms / count).toFixed(2)),
      (whole / ip).toFixed(2),
    ]),
  ];
  const ratio = (name: string) => (rows.find((row) => row.name === name)?.whole ?? NaN) / ip;
  return { measurement: { title, table }, ratio };
}

function each(count: number, command: string): string {
  return `for i in $(seq ${count}); do ${command}; done`;
}

function atOnce(command: string): string {
  return `pids=; for i in $(seq ${AT_ONCE}); do ${command} & pids="$pids $!"; done; ` +
    `for pid in $pids; do wait $pid; done`;
}

async function run({ ours, rounds }: BenchWorld): Promise<Measurement[]> {
  const times = Math.min(rounds, MOST_ROUNDS);
  const belays = ours.map(({ name, words }) => ({ name, netns: `${words.join(" ")} netns` }));
  const parallel = await compare(
    `${AT_ONCE} processes at once, add, then delete`,
    [
      { name: "ip netns", add: atOnce("ip netns add n$i"), remove: atOnce("ip netns delete n$i") },
      ...belays.map(({ name, netns }) => ({
        ...{ name, add: atOnce(`${netns} add n$i`), remove: atOnce(`${netns} delete n$i`) },
      })),
    ],
    AT_ONCE,
    times,
  );
  const many = await compare(
    `${MANY} namespaces, one after the other`,
    [
      {
        name: "ip netns",
        ...{ add: each(MANY, "ip netns add n$i"), remove: each(MANY, "ip netns delete n$i") },
      },
      {
        name: "ip -batch",
        add: `${each(MANY, "echo netns add n$i")} | ip -batch -`,
        remove: `${each(MANY, "echo netns delete n$i")} | ip -batch -`,
      },
      ...belays.map(({ name, netns }) => ({
        name,
        add: `${netns} add n --count ${MANY}`,
        remove: `${netns} delete n --count ${MANY}`,
      })),
    ],
    MANY,
    times,
  );
  return [
    {
      ...parallel.measurement,
      verdicts: belays.map(({ name }) => ({
        what: `${name}: ${AT_ONCE} parallel netns add + delete beside ip netns`,
        measured: `${parallel.ratio(name).toFixed(2)} ×`,
        bound: "printed",
        met: undefined,
      })),
    },
    {
      ...many.measurement,
      verdicts: belays.map(({ name }) => ({
        what: `${name}: ${MANY} netns add + delete in one process beside ip netns`,
        measured: `${many.ratio(name).toFixed(2)} ×`,
        bound: "≤ 0.5 ×",
        met: many.ratio(name) <= 0.5,
      })),
    },
  ];
}

/** `--only netns`. */
export const section: Section = {
  name: "netns",
  what: "network namespaces beside ip netns",
  needs: { iproute2: "the other `ip netns`" },
  run,
};
