import type { Identity } from "../../ffi/identity.ts";
import type { CgroupDirectory } from "../cgroup/cgroup_plan.ts";
import type { Hook, Process } from "../spec/types.ts";
import type { UnitState } from "../systemd/unit_entry.ts";

/** How a container's system calls are filtered; the filter itself is a file beside the state file. */
export interface SeccompState {
  /** SECCOMP_FILTER_FLAG_*, without the one for a listener. */
  readonly flags: number;
  /** Who is told of notified calls, by a descriptor that is sent to the socket at `path`. */
  readonly listener?: { readonly path: string; readonly metadata?: string };
}

/** A limit; numbers in decimal, because they reach 2^64-1. */
export interface StoredLimit {
  readonly type: string;
  readonly soft: string;
  readonly hard: string;
}

/** Limits in the form that JSON can hold. */
export function storedLimits(
  limits: readonly { type: string; soft: bigint; hard: bigint }[],
): StoredLimit[] {
  return limits.map(({ type, soft, hard }) => ({ type, soft: String(soft), hard: String(hard) }));
}

/** `process` of config.json as `exec` begins from it: without what is the first process's own. */
export type StoredProcess =
  & Omit<Process, "args" | "terminal" | "consoleSize" | "rlimits">
  & { readonly rlimits: readonly StoredLimit[] };

/** How another process gets to where the first one is. */
export interface JoinState {
  /** CLONE_NEW* of the namespaces that config.json names. */
  readonly namespaces: number;
  /** The root is not that of the mount namespace, which is somebody else's (`foreign_mount.ts`). */
  readonly foreignRoot: boolean;
  /** Processes have a session keyring of the container's, not the caller's. */
  readonly newKeyring: boolean;
}

/**
 * `state.json`: what belay remembers of a container. Whether it is created, running or stopped is not in it: the
 * kernel is asked (`status.ts`).
 */
export interface StateFile {
  readonly ociVersion: string;
  readonly id: string;
  /** The bundle's absolute path. */
  readonly bundle: string;
  /** The root directory's absolute path. */
  readonly rootfs: string;
  /** When it was created, RFC 3339 in UTC. */
  readonly created: string;
  /** The name of the user who created it. */
  readonly owner: string;
  readonly annotations: Readonly<Record<string, string>>;
  /** The container's first process; absent while it is being created. */
  readonly init?: Identity;
  /** What `start` runs, with the environment and the arguments that `create` worked out. */
  readonly exec?: {
    readonly path: string;
    readonly args: readonly string[];
    readonly env: readonly string[];
    readonly rlimits: readonly StoredLimit[];
  };
  /** What `exec` begins from. */
  readonly process: StoredProcess;
  readonly join: JoinState;
  /** The hooks that other commands than `create` run. */
  readonly hooks: {
    readonly startContainer: readonly Hook[];
    readonly poststart: readonly Hook[];
    readonly poststop: readonly Hook[];
  };
  /** `linux.seccomp`, for every process that is started in the container. */
  readonly seccomp?: SeccompState;
  /** The container's cgroup in each hierarchy. */
  readonly cgroups: readonly CgroupDirectory[];
  /** The unit that has them, where systemd made them. */
  readonly unit?: UnitState;
  /** Whether its pid namespace is its own: then all its processes end with the first. */
  readonly ownPidNamespace: boolean;
  /** The execution domain of its processes (personality(2)), where config.json asks for one. */
  readonly personality?: number;
  /** How many descriptors beyond stdio the process is given. */
  readonly preserveFds: number;
}

/** The file's name in a state directory. */
export const STATE_FILE = "state.json";

/** What a value of JSON must be. A shape is an object with at least these members. */
type Shape = "string" | "number" | "boolean" | "array" | { readonly [name: string]: Shape };

/** What every state file has, as deep as commands look without asking. */
const WHOLE: Shape = {
  ...{ ociVersion: "string", id: "string", bundle: "string", rootfs: "string" },
  ...{ created: "string", owner: "string", annotations: {}, preserveFds: "number" },
  process: { user: {}, env: "array", cwd: "string", capabilities: {}, rlimits: "array" },
  join: { namespaces: "number" },
  hooks: { startContainer: "array", poststart: "array", poststop: "array" },
  cgroups: "array",
  ownPidNamespace: "boolean",
};
const CGROUP: Shape = { version: "number", controllers: "array", path: "string" };
const INIT: Shape = {
  ...{ bootId: "string", pidNamespace: "string", pid: "number", rung: "string", mark: "string" },
};

/**
 * Reads a state file's text. Undefined for one that is no such thing: of a create that was ended half-way, cut short by
 * a loss of power, or of another belay, which had other things to remember. `delete --force` can still finish it.
 */
export function parseStateFile(text: string): StateFile | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
  return isWhole(value) ? value : undefined;
}

function isWhole(value: unknown): value is StateFile {
  if (!fits(value, WHOLE)) return false;
  const { cgroups, init } = value as StateFile;
  return cgroups.every((each) => fits(each, CGROUP)) && (init === undefined || fits(init, INIT));
}

function fits(value: unknown, shape: Shape): boolean {
  if (shape === "array") return Array.isArray(value);
  const type: string = typeof value;
  if (typeof shape === "string") return type === shape;
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const members = value as Record<string, unknown>;
  return Object.entries(shape).every(([name, member]) => fits(members[name], member));
}
