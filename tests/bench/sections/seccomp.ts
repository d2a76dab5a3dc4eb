// `run` under a system call filter like docker's default one, beside runc: with a filter that was kept, and compiled anew.
import { FILTER_CACHE } from "../../../runtime/seccomp/filter_cache.ts";
import { peers } from "../contestants.ts";
import { dockerLikeProfile } from "../docker_like_profile.ts";
import { Meter } from "../meter.ts";
import { inTurns, makeBundle } from "../rounds.ts";
import type { BenchWorld, Measurement, Section } from "../section.ts";

const CONTAINER = "bench";

async function run({ ours, scratch, rounds }: BenchWorld): Promise<Measurement[]> {
  const [first] = ours;
  const [runc] = await peers(scratch, ["runc"]);
  if (first === undefined) throw new Error("nothing was built");
  const cwd = await makeBundle(first, `${scratch}/seccomp`, ["/bin/true"]);
  const config = JSON.parse(await Deno.readTextFile(`${cwd}/config.json`));
  config.linux.seccomp = dockerLikeProfile();
  config.process.noNewPrivileges = false; // docker's default, too
  await Deno.writeTextFile(`${cwd}/config.json`, JSON.stringify(config));
  using meter = new Meter();
  const thing = (name: string, words: readonly string[], before = () => {}) => ({
    name,
    measure: () => {
      before();
      return meter.run({ words: [...words, "run", CONTAINER], cwd });
    },
  });
  const rows = await inTurns([
    ...(runc === undefined ? [] : [thing(runc.name, runc.words)]),
    ...ours.flatMap(({ name, words }) => [
      thing(anew(name), words, forget), // which keeps it, for the next one
      thing(name, words),
    ]),
  ], rounds);
  const yardstick = rows.find(({ name }) => name === runc?.name)?.ms ?? NaN;
  const names: number = config.linux.seccomp.syscalls[0].names.length;
  return [{
    title: `run of /bin/true under a filter like docker's default one, ${names} calls allowed`,
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
        what: `${name}: run with a filter like docker's default one beside runc`,
        measured: `${ratio.toFixed(2)} ×`,
        bound: "< 1 ×",
        met: ratio < 1,
      };
    }),
  }];
}

function anew(name: string): string {
  return `${name}, filter compiled anew`;
}

function forget(): void {
  try {
    Deno.removeSync(FILTER_CACHE, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error; // the first time there is none
  }
}

/** For scripts/bench.ts. */
export const section: Section = {
  name: "seccomp",
  what: "run under a system call filter",
  needs: { "libseccomp2": "compiles filters" },
  run,
};
