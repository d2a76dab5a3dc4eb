import { Host } from "../../ffi/host.ts";
import { Pidfd } from "../../ffi/pidfd.ts";
import { prctl } from "../../ffi/syscalls/process.ts";
import { PR } from "../../ffi/abi/process_flags.ts";

/** What is counted. */
export const KINDS = [
  "processes",
  "namespaces",
  "mounts",
  "cgroup directories",
  "state directories",
  "descriptors of this demo",
] as const;
/** One of them. */
export type Kind = typeof KINDS[number];

/** Something that exists; `ours` when this demo, or what it started, can have made it. */
interface Thing {
  readonly label: string;
  readonly ours: boolean;
}

/** Everything of the machine that a container could leave behind, by a key that means one thing only. */
export type Census = Readonly<Record<Kind, ReadonlyMap<string, Thing>>>;

/** A process as /proc shows it. */
export interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly comm: string;
  /** Z for a zombie: it has ended, and its parent has not asked how. */
  readonly state: string;
  /** Clock ticks since boot: with the pid, a name. */
  readonly startTime: string;
}

const host = new Host("/tmp");

/**
 * From now on orphans among what the demo starts become its children (PR_SET_CHILD_SUBREAPER), so
 * that nothing can escape the census, however often it forks.
 */
export function adoptOrphans(): void {
  host.thread.call(prctl(PR.PR_SET_CHILD_SUBREAPER, 1));
}

/** Reaps adopted children that have ended. Only right while no child of Deno's own is running. */
function reapOrphans(): void {
  for (const { pid, parent, state } of processes()) {
    if (parent !== Deno.pid || state !== "Z") continue;
    using zombie = Pidfd.open(host.thread, pid);
    zombie.reap();
  }
}

/** Every process that can be seen. */
export function processes(): Process[] {
  return namesIn("/proc").flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    const stat = textOf(`/proc/${name}/stat`);
    if (stat === undefined) return []; // it ended meanwhile
    const comm = stat.slice(stat.indexOf("(") + 1, stat.lastIndexOf(")"));
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const [state = "", parent = ""] = fields;
    return [{
      pid: Number(name),
      parent: Number(parent),
      comm,
      state,
      startTime: fields[19] ?? "",
    }];
  });
}

/** What the demo has started, and what that has started. */
export function descendants(all: readonly Process[] = processes()): Process[] {
  const found: Process[] = [];
  let parents = new Set([Deno.pid]);
  while (parents.size > 0) {
    const children = all.filter(({ parent }) => parents.has(parent));
    found.push(...children);
    parents = new Set(children.map(({ pid }) => pid));
  }
  return found;
}

/** Counts everything. */
export function takeCensus(stateRoots: readonly string[]): Census {
  reapOrphans();
  const all = processes();
  const mine = new Set(descendants(all).map(({ pid }) => pid));
  return {
    processes: new Map(all.map(({ pid, startTime, comm }) => [
      `${pid} ${startTime}`,
      { label: `${comm} (${pid})`, ours: mine.has(pid) },
    ])),
    namespaces: namespaces(all, mine),
    mounts: new Map(
      mountinfo().map((fields) => [
        `${fields[0]} ${fields[4]}`,
        { label: fields[4] ?? "", ours: true },
      ]),
    ),
    "cgroup directories": new Map(
      cgroups().map((path) => [
        path,
        { label: path, ours: !belongsToOthers(path, mine) },
      ]),
    ),
    "state directories": new Map(
      stateRoots.flatMap((root) =>
        namesIn(root).map((name) =>
          [`${root}/${name}`, { label: `${root}/${name}`, ours: true }] as const
        )
      ),
    ),
    "descriptors of this demo": new Map(
      namesIn("/proc/self/fd").map((fd) => [fd, { label: fd, ours: true }]),
    ),
  };
}

/** What is there now, was not there before, and is nobody else's. */
export function leftBy(before: Census, now: Census, kind: Kind): string[] {
  return [...now[kind]].flatMap(([key, { label, ours }]) =>
    ours && !before[kind].has(key) ? [label] : []
  );
}

/**
 * Takes censuses until nothing is left, for up to three seconds: the kernel ends namespaces some
 * milliseconds after their last process.
 * @param kinds What has to be gone.
 */
export async function settledCensus(
  before: Census,
  stateRoots: readonly string[],
  kinds: readonly Kind[] = KINDS,
): Promise<Census> {
  const deadline = performance.now() + 3000;
  while (true) {
    const now = takeCensus(stateRoots);
    const left = kinds.some((kind) => leftBy(before, now, kind).length > 0);
    if (!left || performance.now() > deadline) return now;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/**
 * Every namespace that a process is in, that an open descriptor holds or that is mounted. One that
 * only processes of others hold is not ours.
 */
function namespaces(all: readonly Process[], mine: ReadonlySet<number>): Map<string, Thing> {
  const found = new Map<string, Thing>();
  const add = (name: string, ours: boolean) => {
    if (found.get(name)?.ours !== true) found.set(name, { label: name, ours });
  };
  for (const { pid } of all) {
    const links = [
      ...namesIn(`/proc/${pid}/ns`).map((name) => `/proc/${pid}/ns/${name}`),
      ...namesIn(`/proc/${pid}/fd`).map((fd) => `/proc/${pid}/fd/${fd}`),
    ];
    for (const link of links) {
      const target = linkOf(link);
      if (target !== undefined && /^[a-z_]+:\[\d+\]$/.test(target) && isNamespace(target)) {
        add(target, mine.has(pid));
      }
    }
  }
  for (const fields of mountinfo()) {
    if (fields.includes("nsfs")) add(fields[3] ?? "", true);
  }
  return found;
}

/** Sockets and pipes look alike: `socket:[12345]`. */
function isNamespace(link: string): boolean {
  return !/^(socket|pipe|anon_inode|eventfd)/.test(link);
}

/** Directories below every mounted cgroup file system. */
function cgroups(): string[] {
  return mountinfo().flatMap((fields) => {
    const type = fields[fields.indexOf("-") + 1];
    return type === "cgroup" || type === "cgroup2" ? directoriesBelow(fields[4] ?? "") : [];
  });
}

/** A cgroup in which processes live, and none of them is ours (a service that was started meanwhile). */
function belongsToOthers(cgroup: string, mine: ReadonlySet<number>): boolean {
  const members = textOf(`${cgroup}/cgroup.procs`)?.trim().split("\n").filter(Boolean) ?? [];
  return members.length > 0 && !members.some((pid) => mine.has(Number(pid)));
}

function directoriesBelow(path: string): string[] {
  return directoriesIn(path).flatMap((each) => [each, ...directoriesBelow(each)]);
}

function directoriesIn(path: string): string[] {
  return whatIsThere(() =>
    [...Deno.readDirSync(path)].filter(({ isDirectory }) => isDirectory)
      .map(({ name }) => `${path}/${name}`)
  ) ?? [];
}

function mountinfo(): string[][] {
  return (textOf("/proc/self/mountinfo") ?? "").trimEnd().split("\n")
    .map((line) => line.split(" "));
}

function namesIn(path: string): string[] {
  return whatIsThere(() => [...Deno.readDirSync(path)].map(({ name }) => name)) ?? [];
}

function textOf(path: string): string | undefined {
  return whatIsThere(() => Deno.readTextFileSync(path));
}

function linkOf(path: string): string | undefined {
  return whatIsThere(() => Deno.readLinkSync(path));
}

/** Processes end and directories go while they are looked at: then there is nothing to see. */
function whatIsThere<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch {
    return undefined;
  }
}
