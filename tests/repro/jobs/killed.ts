// belay's own promise, beside every runtime that is here: `create` is killed at any moment, `delete --force` follows, and
// nothing is left.
import { defaultSpec } from "../../../runtime/spec/default_spec.ts";
import { census, cgroupDirectories, descendants, MARK, sleep } from "../../e2e/census.ts";
import { generator } from "../../random.ts";
import type { Finding, Job, World } from "../job.ts";

const ROUNDS = 60;
const RUNTIMES = ["runc", "crun", "youki"];
/** On a hybrid host crun 1.8 takes this for its cgroup2, finds no controllers there, and refuses. */
const UNIFIED = "/sys/fs/cgroup/unified";
/** For what is dying when the last round is over. */
const PATIENCE_MS = 5000;

interface Runtime {
  readonly name: string;
  /** The executable, and the flags before the command. */
  readonly words: readonly string[];
  /** Its state root. */
  readonly root: string;
}

/** How a program ended, and what it complained about. */
async function run(words: readonly string[]): Promise<{ code: number; stderr: string }> {
  const [program = "", ...args] = words;
  const log = await Deno.makeTempFile({ prefix: `${MARK}-` });
  try {
    // Into a file: who waits for the end of a pipe waits for the container, too.
    const { code } = await new Deno.Command("sh", {
      args: ["-c", `exec "$@" 2>'${log}'`, "sh", program, ...args],
      ...{ stdin: "null", stdout: "null", stderr: "null" } as const,
    }).spawn().status;
    return { code, stderr: (await Deno.readTextFile(log)).trim() };
  } finally {
    await Deno.remove(log);
  }
}

/** Starts `create`, kills it after some time, and waits until it is gone. */
async function killedCreate(words: readonly string[], afterMs: number): Promise<void> {
  const [program = "", ...args] = words;
  const child = new Deno.Command(program, {
    args,
    ...{ stdin: "null", stdout: "null", stderr: "null" } as const,
  }).spawn();
  const timer = setTimeout(() => {
    try {
      child.kill("SIGKILL");
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // it was done at this very moment
    }
  }, afterMs);
  await child.status;
  clearTimeout(timer);
}

function makeBundle(scratch: string): string {
  const bundle = `${scratch}/bundle`;
  for (const name of ["bin", "dev", "proc", "sys"]) {
    Deno.mkdirSync(`${bundle}/rootfs/${name}`, { recursive: true });
  }
  Deno.copyFileSync("/bin/busybox", `${bundle}/rootfs/bin/busybox`);
  Deno.symlinkSync("busybox", `${bundle}/rootfs/bin/sleep`);
  // deno-lint-ignore no-explicit-any -- JSON
  const spec: any = { ...defaultSpec(), ociVersion: "1.0.2" }; // older peers know no newer one
  Object.assign(spec.process, { args: ["/bin/sleep", "1000"], terminal: false });
  spec.linux.resources.pids = { limit: 50 };
  Deno.writeTextFileSync(`${bundle}/config.json`, JSON.stringify(spec));
  return bundle;
}

/** How long `create` takes, undisturbed; a text says why it does not work here. */
async function timeOf({ words }: Runtime, bundle: string): Promise<number | string> {
  const times: number[] = [];
  for (let i = 0; i < 3; i++) {
    const id = `${MARK}-whole-${i}`;
    const start = performance.now();
    const { code, stderr } = await run([...words, "create", "--bundle", bundle, id]);
    times.push(performance.now() - start);
    if (code !== 0) return stderr.split("\n").at(-1) ?? "";
    await run([...words, "delete", "--force", id]);
  }
  return times.sort((a, b) => a - b)[1] ?? NaN;
}

/** What is there, by kind: without the runtime's state root, of which only what is in it counts. */
function left(root: string): Record<string, readonly string[]> {
  const { processes = [], cgroups = [], mounts = [], states = [] } = census(root);
  return { processes, cgroups, mounts, states };
}

/** Kills `create` at moments of its life, and deletes; how many things are left at the end. */
async function rounds(
  runtime: Runtime,
  bundle: string,
  next: (limit: number) => number,
  say: World["say"],
): Promise<number | undefined> {
  const { name, words, root } = runtime;
  const before = JSON.stringify(left(root).processes);
  const wholeMs = await timeOf(runtime, bundle);
  if (typeof wholeMs === "string") {
    say(`SKIP ${name}: it does not create this container: ${wholeMs}`);
    await mopUp();
    return undefined;
  }
  let refused = 0;
  for (let i = 0; i < ROUNDS; i++) {
    const id = `${MARK}-${name}-${i}`;
    const afterMs = next(Math.ceil(wholeMs * 100)) / 100;
    await killedCreate([...words, "create", "--bundle", bundle, id], afterMs);
    if ((await run([...words, "delete", "--force", id])).code !== 0) refused++;
  }
  const deadline = Date.now() + PATIENCE_MS;
  let found = left(root);
  const clean = () =>
    JSON.stringify(found.processes) === before &&
    [found.cgroups, found.mounts, found.states].every((each) => each?.length === 0);
  while (!clean() && Date.now() < deadline) {
    await sleep(50);
    found = left(root);
  }
  const known = (JSON.parse(before) as string[]).length;
  const counts = Object.entries(found).map(([kind, things]) =>
    [kind, things.length - (kind === "processes" ? known : 0)] as const
  );
  say(
    `${name}: create takes ${wholeMs.toFixed(0)} ms; after ${ROUNDS} kills ` +
      counts.map(([kind, count]) => `${count} ${kind}`).join(", ") +
      ` are left, and ${refused} times delete --force failed`,
  );
  await mopUp();
  return counts.reduce((sum, [, count]) => sum + count, refused);
}

/** Takes away what a runtime has left: everything in this pid namespace is its. */
async function mopUp(): Promise<void> {
  for (const { pid } of descendants()) {
    try {
      Deno.kill(pid, "SIGKILL");
    } catch {
      // It has ended.
    }
  }
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    for (const path of cgroupDirectories().reverse()) {
      try {
        Deno.removeSync(path);
      } catch {
        // Still in use: once more.
      }
    }
    if (cgroupDirectories().length === 0) return;
    if (Date.now() > deadline) throw new Error(`left: ${cgroupDirectories().join(", ")}`);
    await sleep(50);
  }
}

/** The runtimes on PATH. */
async function peers(scratch: string): Promise<Runtime[]> {
  const found: Runtime[] = [];
  for (const name of RUNTIMES) {
    const { code } = await run(["sh", "-c", `command -v ${name}`]);
    const root = `${scratch}/${name}`;
    if (code === 0) found.push({ name, words: [name, "--root", root], root });
  }
  return found;
}

async function promise({ belay, scratch, seed, say }: World): Promise<Finding[]> {
  const next = generator(seed);
  const bundle = makeBundle(scratch);
  await run(["umount", UNIFIED]); // in this mount namespace alone; where it is not mounted, nothing is to be done
  let naive = 0;
  for (const runtime of await peers(scratch)) {
    naive += await rounds(runtime, bundle, next, say) ?? 0;
  }
  const root = `${scratch}/belay`;
  const ours = { name: "belay", words: [...belay, "--root", root], root };
  const count = await rounds(ours, bundle, next, say);
  if (count === undefined) throw new Error("belay does not create the container");
  return [{
    what: "left by create killed, then delete --force (all peers together)",
    ...{ rounds: ROUNDS, naive, belay: count },
  }];
}

/** What belay promises. */
export const job: Job = {
  name: "killed",
  bug: "create is killed at any moment, and delete --force leaves something",
  needs: { "busybox-static": "what the containers run", runc: "a peer", crun: "another" },
  obstacle: async ({ scratch }) =>
    (await peers(scratch)).length > 0 ? undefined : `none of ${RUNTIMES.join(", ")} is here`,
  run: promise,
};
