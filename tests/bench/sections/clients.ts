// `docker run --rm` and `ctr run --rm` of `true`, with belay beside runc: issue 5, section 5.
import { median } from "../meter.ts";
import type { BenchWorld, Measurement, Section } from "../section.ts";

/** A run takes half a second: fewer rounds do. */
const MOST_ROUNDS = 15;
/** The daemon's and the image's first. */
const WARM_UP = 1;

/** A client's command line with one of the runtimes. */
interface Way {
  readonly name: string;
  readonly argv: readonly string[];
}

/** A script that runs each way once a round, in turns, and prints number and microseconds of each. */
function script(ways: readonly Way[], rounds: number): string {
  const quote = (word: string) => `'${word.replaceAll("'", `'\\''`)}'`;
  const once = ways.map(({ argv }, i) =>
    `a=\${EPOCHREALTIME/./}; ${argv.map(quote).join(" ").replace("'ID'", "bench-$round-" + i)}` +
    ` >/dev/null; b=\${EPOCHREALTIME/./}; [ $round -le ${WARM_UP} ] || echo ${i} $((b - a))`
  );
  return `set -e; LC_ALL=C; for round in $(seq ${rounds + WARM_UP}); do\n${once.join("\n")}\ndone`;
}

async function run({ ours, rounds }: BenchWorld): Promise<Measurement[]> {
  // Loaded here: they count what this process leaves behind, from the moment on that they are there.
  const { Stage } = await import("../../clients/stage.ts");
  const { Dockerd } = await import("../../clients/dockerd.ts");
  const { Containerd } = await import("../../clients/containerd.ts");
  const { RUNC } = await import("../../clients/checks.ts");
  const contestants = [
    ...ours.map(({ words: [path = ""] }, i) => ({ name: `belay${i}`, path })),
    RUNC,
  ];
  const names = [...ours.map(({ name }) => name), "runc"];
  const times = Math.min(rounds, MOST_ROUNDS);
  await using stage = await Stage.open();
  const measure = async (client: string, ways: readonly Way[]): Promise<Measurement> => {
    const text = script(ways, times);
    const stdout = await stage.ok(["bash", "-c", text], { timeoutMs: 900_000 });
    const lines = stdout.trim().split("\n").map((line) => line.split(" ").map(Number));
    const of = (i: number) => lines.filter(([way]) => way === i).map(([, us = NaN]) => us / 1000);
    const runc = median(of(ways.length - 1));
    return {
      title: `${client} run --rm of true, ${times} rounds`,
      table: [
        ["", "median ms", "least", "most", "beside runc"],
        ...ways.map(({ name }, i) => [
          ...[name, median(of(i)).toFixed(0), Math.min(...of(i)).toFixed(0)],
          ...[Math.max(...of(i)).toFixed(0), (median(of(i)) / runc).toFixed(2)],
        ]),
      ],
      verdicts: ways.slice(0, -1).map(({ name }, i) => ({
        what: `${name}: ${client} run --rm beside runc`,
        measured: `${(median(of(i)) / runc).toFixed(2)} ×`,
        ...{ bound: "≤ 1.1 ×, aim below 1", met: median(of(i)) / runc <= 1.1 },
      })),
    };
  };
  const measurements: Measurement[] = [];
  {
    await using daemon = await Dockerd.start(stage, [], contestants);
    const ways = contestants.map((each, i) => {
      const cli = daemon.cli(each);
      const argv = cli.argv("run", "--rm", ...cli.flags([]), "bb:local", "true");
      return { name: names[i] ?? "", argv };
    });
    measurements.push(await measure("docker", ways));
  }
  {
    await using daemon = await Containerd.start(stage);
    const ways = contestants.map((each, i) => ({
      name: names[i] ?? "",
      argv: daemon.ctr(...daemon.cli(each).args("ID", ["--rm"], ["true"])),
    }));
    measurements.push(await measure("ctr", ways));
  }
  return measurements;
}

/** `--only clients`. */
export const section: Section = {
  name: "clients",
  what: "docker run and ctr run of true",
  needs: {
    "docker.io": "a client",
    "containerd": "a client",
    "runc": "the runtime to compare with",
    "iptables": "docker's network",
    "iproute2": "docker's network",
    "tini": "reaps what the daemons leave",
    "busybox-static": "what the containers run",
  },
  run,
};
