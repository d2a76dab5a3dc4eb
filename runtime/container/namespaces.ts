import { CLONE } from "../../ffi/abi/process_flags.ts";
import type { LinuxNamespaceType, Spec, TimeOffset } from "../spec/types.ts";
import { ValidationError } from "../spec/validation_error.ts";

/** The flag of each type of namespace (clone(2), setns(2)). */
const FLAGS: Readonly<Record<LinuxNamespaceType, number>> = {
  pid: CLONE.CLONE_NEWPID,
  network: CLONE.CLONE_NEWNET,
  mount: CLONE.CLONE_NEWNS,
  ipc: CLONE.CLONE_NEWIPC,
  uts: CLONE.CLONE_NEWUTS,
  user: CLONE.CLONE_NEWUSER,
  cgroup: CLONE.CLONE_NEWCGROUP,
  time: CLONE.CLONE_NEWTIME,
};

/** A namespace that exists already. */
export interface Join {
  /** `linux.namespaces[2].path`, for errors. */
  readonly field: string;
  readonly path: string;
  /** Its CLONE_NEW* flag: setns(2) refuses a namespace of another type. */
  readonly flag: number;
}

/** How the container's namespaces come about. */
export interface NamespacePlan {
  /** What clone3 makes. */
  readonly cloneFlags: number;
  /** What is joined before, in order; without the user namespace. */
  readonly joins: readonly Join[];
  /** The user namespace: none, a new one with the mappings of config.json, or one that exists. */
  readonly user: "none" | "new" | Join;
  /** A new time namespace, whose clocks must be set before anybody is in it. */
  readonly time?: Readonly<Record<string, TimeOffset>>;
  /** The mount namespace, where it is one that exists: it is somebody else's. */
  readonly foreignMounts?: Join;
  /** CLONE_NEW* of all that the container has of its own, new or joined. */
  readonly flags: number;
  /** Whether the container has one of its own, new or joined. */
  has(type: LinuxNamespaceType): boolean;
  /** Whether it is made for this container. */
  isNew(type: LinuxNamespaceType): boolean;
}

/** Reads `linux.namespaces`. @throws ValidationError without a mount namespace: belay does not set up a root in the host's. */
export function planNamespaces(spec: Spec): NamespacePlan {
  const { namespaces, timeOffsets } = spec.linux;
  const find = (type: LinuxNamespaceType) => namespaces.find((each) => each.type === type);
  if (find("mount") === undefined) {
    throw new ValidationError(
      "linux.namespaces",
      "must have one of type mount: belay does not mount a container's root in the host's own",
    );
  }
  const all: Join[] = namespaces.flatMap(({ type, path }, index) =>
    path === undefined
      ? []
      : [{ field: `linux.namespaces[${index}].path`, path, flag: FLAGS[type] }]
  );
  const fresh = namespaces.filter(({ path }) => path === undefined).map(({ type }) => type);
  const cloned = fresh.filter((type) => type !== "user" && type !== "time");
  const joined = (type: LinuxNamespaceType) => all.find(({ flag }) => flag === FLAGS[type]);
  const [user, foreignMounts] = [joined("user"), joined("mount")];
  return {
    flags: namespaces.reduce((flags, { type }) => flags | FLAGS[type], 0),
    cloneFlags: cloned.reduce((flags, type) => flags | FLAGS[type], 0),
    joins: all.filter(({ flag }) => flag !== CLONE.CLONE_NEWUSER),
    user: user ?? (fresh.includes("user") ? "new" : "none"),
    ...(fresh.includes("time") ? { time: timeOffsets } : {}),
    ...(foreignMounts === undefined ? {} : { foreignMounts }),
    has: (type) => find(type) !== undefined,
    isNew: (type) => fresh.includes(type),
  };
}

/** The lines of /proc/PID/timens_offsets (time_namespaces(7)). */
export function timeOffsetLines(offsets: Readonly<Record<string, TimeOffset>>): string {
  return Object.entries(offsets)
    .map(([clock, { secs, nanosecs }]) => `${clock} ${secs} ${nanosecs}\n`).join("");
}
