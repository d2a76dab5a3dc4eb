// Damaged configurations: never a crash, a hang or something left, always success or a clear error.
// BELAY_SEED=n repeats or varies what is damaged, BELAY_FUZZ=n makes n times as many rounds.
import { assert, assertEquals } from "@std/assert";
import { noFile } from "../skip.ts";
import { generator, rounds, SEED } from "../random.ts";
import { REAL_CONFIGS, realSpec } from "../real_configs.ts";
import { assertClear, damage } from "./damage.ts";
import { type AnySpec, e2e, type Ended } from "./world.ts";

const ROUNDS = rounds(25);
/** Whose config.json is damaged: each client's, and that of `belay spec`. */
const WRITERS: readonly (string | undefined)[] = [...REAL_CONFIGS.keys(), undefined];

/** How commands have ended. */
class Outcomes {
  readonly #counts = { well: 0, refused: 0 };

  /**
   * Success, or belay's own error. A program that a signal has ended did begin, and one whose libc complains: what
   * limits and what filter it has is the configuration's affair.
   */
  add({ code, stderr }: Ended, failure: number, what: string): "well" | "refused" {
    const said = stderr.split("\n").filter((line) => !/^time=\S+ level=warning /.test(line)).join(
      "\n",
    );
    const killed = code > 128 && code < 255 && said === "";
    const starved = code === 127 && said.startsWith(": error while loading shared libraries: ");
    const well = code === 0 || killed || starved;
    if (!well) {
      assertEquals(code, failure, what);
      assertClear(stderr, what);
    }
    const outcome = well ? "well" : "refused";
    this.#counts[outcome]++;
    return outcome;
  }

  /** Fails when one of them never came: then what is damaged is not worth it. */
  assertBoth(): void {
    const { well, refused } = this.#counts;
    assert(well > 0 && refused > 0, JSON.stringify(this.#counts));
  }
}

/** What `belay spec` does not write. */
function enrich(spec: AnySpec): void {
  spec.process.user = { uid: 1, gid: 1, additionalGids: [2], umask: 18 };
  spec.process.consoleSize = { height: 1, width: 2 };
  spec.process.scheduler = { policy: "SCHED_OTHER", nice: 1 };
  spec.process.ioPriority = { class: "IOPRIO_CLASS_BE", priority: 5 };
  const ids = [{ containerID: 0, hostID: 100000, size: 65536 }];
  spec.linux.namespaces.push({ type: "user" }, { type: "cgroup" });
  Object.assign(spec.linux, {
    ...{ uidMappings: ids, gidMappings: ids, sysctl: { "net.ipv4.ip_forward": "0" } },
    ...{ personality: { domain: "LINUX" }, rootfsPropagation: "private" },
    resources: { pids: { limit: 20 }, devices: spec.linux.resources.devices },
  });
  const hook = { path: "/bin/busybox", args: ["true"], env: ["A=b"], timeout: 5 };
  spec.hooks = { createRuntime: [hook], poststop: [hook] };
  spec.annotations = { "org.example": "x" };
}

/**
 * Damages what does not name places of the host: those this test would then work on. Of mounts only the options, of
 * nothing the path in the cgroups or the root.
 */
function damageSpec(spec: AnySpec, random: (limit: number) => number): void {
  const { process, linux, hooks, hostname, annotations, ociVersion } = spec;
  const mounts = spec.mounts.map(({ options }: AnySpec) => ({ options }));
  const all = { process, linux, hooks, hostname, annotations, ociVersion, mounts };
  for (let n = random(3); n >= 0; n--) damage(all, random);
  Object.assign(spec, { ...all, mounts: spec.mounts });
  if (!Array.isArray(all.mounts)) return;
  spec.mounts.forEach((mount: AnySpec, i: number) => Object.assign(mount, all.mounts[i]));
}

e2e(`run answers to ${ROUNDS} damaged config.json with success or a clear error`, async (world) => {
  const random = generator(SEED);
  const outcomes = new Outcomes();
  for (let round = 0; round < ROUNDS; round++) {
    const writer = WRITERS[round % WRITERS.length];
    const bundle = await world.bundle({
      config(spec) {
        if (writer === undefined) enrich(spec);
        else Object.assign(spec, realSpec(writer, spec.root.path));
        // Limits that this machine lets nobody raise are no news.
        Object.assign(spec.process, { args: ["true"], rlimits: undefined });
        damageSpec(spec, random);
      },
    });
    const ended = await world.belay(["run", "--bundle", bundle, world.id()]);
    const what = `BELAY_SEED=${SEED}, round ${round}, ${writer}: ${ended.code} ${ended.stderr}`;
    outcomes.add(ended, 1, what);
    Deno.removeSync(bundle, { recursive: true });
  }
  outcomes.assertBoth();
});

e2e(
  `exec answers to ${ROUNDS} damaged process.json with success or a clear error`,
  async (world) => {
    const random = generator(SEED + 1);
    const id = world.id();
    await world.ok(["run", "-d", "--bundle", await world.bundle({ args: ["sleep", "1000"] }), id]);
    const file = `${world.dir}/process.json`;
    const outcomes = new Outcomes();
    for (let round = 0; round < ROUNDS; round++) {
      const process: AnySpec = {
        ...{ args: ["true"], env: ["PATH=/bin"], cwd: "/", terminal: false, oomScoreAdj: 5 },
        user: { uid: 1, gid: 1, additionalGids: [2] },
        capabilities: { bounding: ["CAP_KILL"], permitted: ["CAP_KILL"] },
        rlimits: [{ type: "RLIMIT_NOFILE", soft: 100, hard: 200 }],
      };
      for (let n = random(3); n >= 0; n--) damage(process, random);
      let text = JSON.stringify(process);
      if (random(8) === 0) text = text.slice(0, random(text.length));
      Deno.writeTextFileSync(file, text);
      const ended = await world.belay(["exec", "--process", file, id]);
      const what = `BELAY_SEED=${SEED}, round ${round}: ${text}: ${ended.code} ${ended.stderr}`;
      outcomes.add(ended, 255, what);
    }
    outcomes.assertBoth();
    assertEquals(JSON.parse((await world.ok(["ps", "-f", "json", id])).stdout).length, 1);
    await world.ok(["delete", "--force", id]);
  },
);

/** The files of a container's cgroups that an update may change. */
function limits(id: string): Record<string, string> {
  const files = ["memory.limit_in_bytes", "memory.soft_limit_in_bytes", "cpu.shares"]
    .concat("cpu.cfs_quota_us", "cpu.cfs_period_us", "cpuset.cpus", "cpuset.mems", "pids.max");
  return Object.fromEntries(files.map((file) => {
    const place = `/sys/fs/cgroup/${file.split(".")[0]}/${id}/${file}`;
    return [file, Deno.readTextFileSync(place).trim()];
  }));
}

const V1 = ["memory", "cpu", "pids", "cpuset"].map((name) =>
  noFile(`/sys/fs/cgroup/${name}/cgroup.procs`)
);

e2e(
  `update answers to ${ROUNDS} damaged --resources with success, or a clear error and the limits from before`,
  async (world) => {
    const random = generator(SEED + 2);
    const id = world.id();
    const bundle = await world.bundle({
      args: ["sleep", "1000"],
      config: (spec) => spec.linux.cgroupsPath = `/${id}`,
    });
    await world.ok(["run", "--detach", "--bundle", bundle, id]);
    const file = `${world.dir}/resources.json`;
    const outcomes = new Outcomes();
    for (let round = 0; round < ROUNDS; round++) {
      const resources = {
        memory: { limit: (32 + round % 32) << 20, reservation: 16 << 20 },
        cpu: { shares: 100 + round % 100, quota: 10_000, period: 20_000, cpus: "0", mems: "0" },
        pids: { limit: 20 + round % 20 },
      };
      for (let n = random(3); n >= 0; n--) damage(resources, random);
      let text = JSON.stringify(resources);
      if (random(8) === 0) text = text.slice(0, random(text.length));
      Deno.writeTextFileSync(file, text);
      const before = limits(id);
      const [from, options] = round % 2 === 0 ? ["-", { stdin: text }] : [file, {}];
      const ended = await world.belay(["update", "--resources", from, id], options);
      const what = `BELAY_SEED=${SEED}, round ${round}: ${text}: ${ended.code} ${ended.stderr}`;
      if (outcomes.add(ended, 1, what) === "refused") assertEquals(limits(id), before, what);
    }
    outcomes.assertBoth();
    await world.ok(["delete", "--force", id]);
  },
  V1,
);
