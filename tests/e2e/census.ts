// What a test may leave behind, counted before and after. Other tests run on the same machine at the same time, so only
// what carries this module's mark counts: `MARK` is in every container id and in the name of every directory that it
// makes, and this process adopts whatever its children leave behind, so that nothing can slip out of its descendants.
import { assertEquals } from "@std/assert";
import { Host } from "../../ffi/host.ts";
import { prctl } from "../../ffi/syscalls/process.ts";
import { PR } from "../../ffi/abi/process_flags.ts";

/** Unique for this test module and short enough for the name of a network link. */
export const MARK = `bt${crypto.getRandomValues(new Uint32Array(1))[0]?.toString(36).slice(0, 6)}`;

const { thread } = new Host("/tmp");
thread.call(prctl(PR.PR_SET_CHILD_SUBREAPER, 1));
// Descriptors that Deno opens at its first child and keeps.
await new Deno.Command("true").output();

/** Everything that is counted, by kind; what is equal sorts equally. */
export type Census = Readonly<Record<string, readonly string[]>>;

/** A process, from /proc. */
export interface Process {
  readonly pid: number;
  readonly parent: number;
  /** `R`, `S`, ...; `Z` and `X` are dead. */
  readonly state: string;
  readonly name: string;
}

/** How long what is dying may take: a killed container's namespaces go some time after its last process. */
const PATIENCE_MS = 15_000;

/** Counts. @param stateRoot The directory whose containers are the test's. */
export function census(stateRoot: string): Census {
  const alive = descendants();
  return {
    processes: alive.map(({ pid, name }) => `${pid} ${name} ${commandLine(pid)}`).sort(),
    namespaces: [...new Set(alive.flatMap(({ pid }) => foreignNamespaces(pid)))].sort(),
    mounts: Deno.readTextFileSync("/proc/self/mountinfo").split("\n")
      .filter((line) => line.includes(MARK)).map((line) => line.split(" ").slice(3, 5).join(" "))
      .sort(),
    cgroups: cgroupDirectories(),
    links: namesIn("/sys/class/net").filter((name) => name.includes(MARK)),
    states: namesIn(stateRoot),
    descriptors: descriptors(),
  };
}

/** Fails unless everything comes to be as it was; what is about to end is waited for. */
export async function assertUnchanged(before: Census, stateRoot: string): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  for (let pause = 5; Date.now() < deadline; pause = Math.min(pause * 2, 200)) {
    if (JSON.stringify(census(stateRoot)) === JSON.stringify(before)) return;
    await sleep(pause);
  }
  assertEquals(census(stateRoot), before, "the test left something behind");
}

/** Waits. */
export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Waits for something to become true (neither undefined nor false). @throws when it does not, in 20 s. */
export async function until<T>(
  what: string,
  probe: () => T | undefined | false | Promise<T | undefined | false>,
): Promise<T> {
  const deadline = Date.now() + 20_000;
  for (;;) {
    const found = await probe();
    if (found !== undefined && found !== false) return found;
    if (Date.now() > deadline) throw new Error(`waited in vain: ${what}`);
    await sleep(10);
  }
}

/** The living processes below this one; an orphan of theirs is one, too. */
export function descendants(): Process[] {
  const all = processes();
  const mine = new Set([Deno.pid]);
  for (let size = 0; size !== mine.size;) {
    size = mine.size;
    for (const { pid, parent } of all) if (mine.has(parent)) mine.add(pid);
  }
  return all.filter(({ pid, state }) => mine.has(pid) && pid !== Deno.pid && !/[ZX]/.test(state));
}

/** A process, zombies included; undefined when there is none of that number. */
export function processOf(pid: number | string): Process | undefined {
  const stat = textOf(`/proc/${pid}/stat`);
  const [, name, state, parent] = /^\d+ \((.*)\) (\S) (\d+)/s.exec(stat ?? "") ?? [];
  if (name === undefined || state === undefined) return undefined;
  return { pid: Number(pid), parent: Number(parent), state, name };
}

function processes(): Process[] {
  return namesIn("/proc").filter((name) => /^\d+$/.test(name)).flatMap((pid) =>
    processOf(pid) ?? []
  );
}

/** A process's arguments. */
export function commandLine(pid: number): string {
  return (textOf(`/proc/${pid}/cmdline`) ?? "").split("\0").join(" ").trimEnd();
}

/** A process's namespaces, as `net:[4026531840]`. */
export function namespacesOf(pid: number | string): string[] {
  return namesIn(`/proc/${pid}/ns`).flatMap((type) => {
    try {
      return [Deno.readLinkSync(`/proc/${pid}/ns/${type}`)];
    } catch {
      return []; // it has ended
    }
  }).sort();
}

const ownNamespaces = new Set(namespacesOf("self"));

function foreignNamespaces(pid: number): string[] {
  return namespacesOf(pid).filter((each) => !ownNamespaces.has(each));
}

/** The cgroup directories, in any hierarchy, that carry the mark. */
export function cgroupDirectories(): string[] {
  const mounts = Deno.readTextFileSync("/proc/self/mountinfo").split("\n").flatMap((line) => {
    const [before = "", after = ""] = line.split(" - ");
    return /^cgroup2? /.test(after) ? [before.split(" ")[4] ?? ""] : [];
  });
  const below = (directory: string): string[] =>
    directoriesIn(directory).flatMap((name) => [
      ...(name.includes(MARK) ? [`${directory}/${name}`] : []),
      ...below(`${directory}/${name}`),
    ]);
  return [...new Set(mounts)].flatMap(below).sort();
}

function directoriesIn(path: string): string[] {
  try {
    return [...Deno.readDirSync(path)].filter((each) => each.isDirectory).map(({ name }) => name);
  } catch {
    return []; // removed while we looked
  }
}

/** What this process's descriptors lead to: kinds only, for sockets and pipes come and go under new numbers. */
function descriptors(): string[] {
  return namesIn("/proc/self/fd").flatMap((fd) => {
    try {
      return [Deno.readLinkSync(`/proc/self/fd/${fd}`).replace(/\d+/g, "N")];
    } catch {
      return []; // the one that read the directory
    }
  }).sort();
}

function namesIn(path: string): string[] {
  try {
    return [...Deno.readDirSync(path)].map(({ name }) => name).sort();
  } catch {
    return []; // there is none, or no longer
  }
}

function textOf(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return undefined; // it has ended
  }
}
