// 100 containers created and started at once, then deleted: issue 5, section 5.
import { mustRun } from "../../../scripts/step.ts";
import { peers } from "../contestants.ts";
import { median } from "../meter.ts";
import { makeBundle } from "../rounds.ts";
import type { BenchWorld, Measurement, Section } from "../section.ts";

const AT_ONCE = 100;
/** A round takes seconds. */
const MOST_ROUNDS = 3;
/** What all processes of a round use is counted by a cgroup: on v1 here, on v2 where there is only that. */
const MEMORY = "/sys/fs/cgroup/memory";

interface Round {
  readonly make: number;
  readonly remove: number;
  readonly peakMb: number;
}

async function once(words: readonly string[], bundle: string, mark: string): Promise<Round> {
  const cgroup = `${MEMORY}/${mark}`;
  const runtime = words.join(" ");
  const id = `${mark}-$i`;
  const wait = `for pid in $pids; do wait $pid; done`;
  const stdout = await mustRun([
    ...["bash", "-e", "-c"],
    // Interrupted or failed, it ends what is in its cgroups, and them: the runtime may have been removed by then.
    `clean() {
       echo $$ >${MEMORY}/cgroup.procs
       for _ in $(seq 100); do
         find ${cgroup} -name cgroup.procs -exec cat {} + 2>/dev/null | xargs -r kill -9 2>/dev/null || :
         find /sys/fs/cgroup -depth -type d -name '${mark}*' -exec rmdir {} + 2>/dev/null && break
         sleep 0.1
       done
     }
     trap clean EXIT
     LC_ALL=C; mkdir ${cgroup}; echo $$ >${cgroup}/cgroup.procs
     a=\${EPOCHREALTIME/./}; pids=
     for i in $(seq ${AT_ONCE}); do
       { ${runtime} create --bundle ${bundle} ${id} </dev/null >/dev/null && ${runtime} start ${id}; } & pids="$pids $!"
     done; ${wait}
     b=\${EPOCHREALTIME/./}; pids=
     for i in $(seq ${AT_ONCE}); do ${runtime} delete --force ${id} & pids="$pids $!"; done; ${wait}
     c=\${EPOCHREALTIME/./}
     peak=$(cat ${cgroup}/memory.max_usage_in_bytes)
     echo $((b - a)) $((c - b)) $peak`,
  ]);
  const [make = NaN, remove = NaN, peak = NaN] = stdout.trim().split(" ").map(Number);
  return { make: make / 1000, remove: remove / 1000, peakMb: peak / 1024 / 1024 };
}

async function run({ ours, scratch, rounds }: BenchWorld): Promise<Measurement[]> {
  const [launcher] = ours;
  if (launcher === undefined) throw new Error("nothing was built");
  try {
    Deno.statSync(`${MEMORY}/memory.max_usage_in_bytes`);
  } catch {
    console.log("SKIP many: memory is counted by cgroup v1's controller, which is not here");
    return [];
  }
  const all = [...ours, ...await peers(scratch, ["runc"])];
  const bundle = await makeBundle(launcher, `${scratch}/many`, ["/bin/sleep", "1000"]);
  const measured = all.map((): Round[] => []);
  for (let round = 0; round < Math.min(rounds, MOST_ROUNDS); round++) {
    for (const [i, { words }] of all.entries()) {
      const mark = `belay-bench-${crypto.randomUUID().slice(0, 8)}`;
      measured[i]?.push(await once(words, bundle, mark));
    }
  }
  const rows = all.map(({ name }, i) => {
    const middle = (of: (round: Round) => number) => median(measured[i]?.map(of) ?? []);
    const whole = middle(({ make, remove }) => make + remove);
    return {
      name,
      whole,
      make: middle((r) => r.make),
      remove: middle((r) => r.remove),
      peak: middle((r) => r.peakMb),
    };
  });
  const runc = rows.find(({ name }) => name.startsWith("runc"))?.whole ?? NaN;
  return [{
    title: `${AT_ONCE} containers created and started at once, then deleted at once`,
    table: [
      ["", "ms", "create + start", "delete", "beside runc", "peak MB of all"],
      ...rows.map(({ name, whole, make, remove, peak }) => [
        ...[name, whole.toFixed(0), make.toFixed(0), remove.toFixed(0), (whole / runc).toFixed(2)],
        peak.toFixed(0),
      ]),
    ],
    verdicts: rows.filter(({ name }) => name.startsWith("belay")).map(({ name, whole }) => ({
      ...{
        what: `${name}: ${AT_ONCE} at once beside runc`,
        measured: `${(whole / runc).toFixed(2)} ×`,
      },
      ...{ bound: "≤ 1 ×", met: whole / runc <= 1 },
    })),
  }];
}

/** `--only many`. */
export const section: Section = {
  name: "many",
  what: `${AT_ONCE} containers at once`,
  needs: { "runc": "the runtime to compare with", "busybox-static": "what the containers run" },
  run,
};
