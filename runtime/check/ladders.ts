import type { ProbedFeature } from "../../ffi/features.ts";

/** Something that belay does in the best way that the kernel has. */
export interface Ladder {
  /** What is done. */
  readonly name: string;
  /** The ways, best first. */
  readonly rungs: readonly {
    readonly name: string;
    /** The features that it needs; the last rung needs none. */
    readonly needs: readonly string[];
  }[];
}

/** Every ladder, as data. The names of features are those of `ffi/features.ts`. */
export const LADDERS: readonly Ladder[] = [
  {
    name: "identity of a process",
    rungs: [
      { name: "pidfs file handle", needs: ["pidfs file handles"] },
      { name: "pidfs inode", needs: ["pidfs"] },
      { name: "start time", needs: [] },
    ],
  },
  {
    name: "exit status of no child",
    rungs: [
      { name: "PIDFD_INFO_EXIT", needs: ["PIDFD_INFO_EXIT"] },
      { name: "unknown", needs: [] },
    ],
  },
  {
    name: "namespaces of a process",
    rungs: [
      { name: "PIDFD_GET_*_NAMESPACE", needs: ["PIDFD_GET_*_NAMESPACE"] },
      { name: "/proc/PID/ns, then signal 0", needs: [] },
    ],
  },
  {
    name: "holders of a network namespace",
    rungs: [
      { name: "BPF iterators", needs: ["BPF iterators"] },
      { name: "/proc, one by one", needs: [] },
    ],
  },
  {
    name: "stub image",
    rungs: [
      { name: "sealed memfd", needs: ["executable memfd"] },
      { name: "file without a name in the state root", needs: [] },
    ],
  },
  {
    name: "mount attributes",
    rungs: [
      { name: "mount_setattr", needs: ["mount_setattr"] },
      { name: "remount, one mount at a time", needs: [] },
    ],
  },
  {
    name: "closing descriptors",
    rungs: [
      { name: "close_range", needs: ["close_range"] },
      { name: "one by one", needs: [] },
    ],
  },
  {
    name: "entering a cgroup",
    rungs: [
      { name: "CLONE_INTO_CGROUP", needs: ["cgroups: v2"] },
      { name: "cgroup.procs, before the process does anything", needs: [] },
    ],
  },
  {
    name: "ending a whole cgroup",
    rungs: [
      { name: "cgroup.kill", needs: ["cgroups: v2", "cgroup.kill"] },
      { name: "freezer, then signals", needs: [] },
    ],
  },
];

/** A ladder with the rung that is used here. */
export interface LadderInUse {
  /** What is done. */
  readonly name: string;
  /** The rung, one of `rungs`. */
  readonly inUse: string;
  /** Every rung, best first. */
  readonly rungs: readonly string[];
}

/** The rung of each ladder that these features allow. What could not be seen counts as missing. */
export function laddersInUse(features: readonly ProbedFeature[]): LadderInUse[] {
  const names = new Set<string>();
  for (const { name, available, detail } of features) {
    if (available !== true) continue;
    names.add(name);
    if (name === "cgroups" && detail?.startsWith("v2:")) names.add("cgroups: v2");
  }
  return LADDERS.map(({ name, rungs }) => ({
    name,
    inUse: rungs.find(({ needs }) => needs.every((need) => names.has(need)))?.name ?? "none",
    rungs: rungs.map((rung) => rung.name),
  }));
}
