// The containers that the sweep makes. Each stands for code that the others do not reach.

/** What a command line is swept for: on a container. */
export type ContainerStep =
  | "create"
  | "start"
  | "kill"
  | "delete"
  | "delete --force"
  | "run"
  | "run --detach"
  | ChangeStep
  | ExecStep
  | LookStep;
/** What is done to a running container. */
export type ChangeStep = "kill --all" | "pause" | "resume" | "update" | "update --resources -";
/** What only looks: at a running container, at all of them, or at this machine. */
export type LookStep =
  | "ps"
  | "ps -f json"
  | "events"
  | "events --stats"
  | "state"
  | "list"
  | "features";
/** A program more in a running container. */
export type ExecStep = "exec" | "exec --tty" | "exec --detach" | "exec --detach --tty";
/** On network namespaces with names. */
export type NetnsStep =
  | "netns add"
  | "netns add --count"
  | "netns add --veth"
  | "netns delete"
  | "netns exec"
  | "netns identify"
  | "netns repair";
/** On user namespaces: pinned at a new path, at a file that is there, or with a command inside. */
export type UsernsStep = "userns new --name" | "userns new --name FILE" | "userns new --";
/** On anything. */
export type Step = ContainerStep | NetnsStep | UsernsStep;

const STEPS: readonly ContainerStep[] = [
  ...["create", "start", "kill", "delete", "delete --force", "run"] as const,
];
const NETNS_STEPS: readonly NetnsStep[] = [
  ...["netns add", "netns add --count", "netns add --veth", "netns delete"] as const,
  ...["netns exec", "netns identify", "netns repair"] as const,
];

const USERNS_STEPS: readonly UsernsStep[] = [
  ...["userns new --name", "userns new --name FILE", "userns new --"] as const,
];

/** What is swept in a scenario. */
export function stepsOf({ subject, only, more = [] }: Scenario): readonly Step[] {
  switch (subject) {
    case "netns":
      return NETNS_STEPS;
    case "userns":
      return USERNS_STEPS;
    default:
      return only ?? [...STEPS, ...more];
  }
}

// deno-lint-ignore no-explicit-any -- JSON that is changed here and there
type AnySpec = any;

/** Names of one walk's own. */
export interface Names {
  /** Unique, in every name that is made. */
  readonly mark: string;
  /** A directory. */
  readonly home: string;
}

/** One kind of container, or of what else commands are about. */
export interface Scenario {
  readonly name: string;
  /** Absent: a container. */
  readonly subject?: "netns" | "userns";
  /** The world that the walk needs: a shell command in a mount namespace of its own, before it. */
  readonly world?: string;
  /** Changes the default configuration of a container. */
  change?(spec: AnySpec, names: Names): void;
  /** What is swept in this scenario and not in every one. */
  readonly more?: readonly ContainerStep[];
  /** What alone is swept in this scenario. */
  readonly only?: readonly ContainerStep[];
  /** Somebody listens at a `--console-socket`. */
  readonly terminal?: true;
  /** Somebody listens at a `--pidfd-socket`. */
  readonly pidfds?: true;
  /** Somebody listens at `listenerPath()`. */
  readonly listener?: true;
  /** Its cgroup is made by a stand-in for systemd. */
  readonly systemd?: true;
  /** What is swept where not everything is; absent: all. */
  readonly steps?: readonly Step[];
}

/** Where the listener of a filter is sent to. */
export function listenerPath({ home }: Names): string {
  return `${home}/agent`;
}

/** A cache of filters that can be looked into, and keeps nothing: so every filter is compiled. */
const FULL_CACHE =
  "mkdir -p -m 700 /run/belay-seccomp && mount -t tmpfs -o mode=700,ro none /run/belay-seccomp";

const HIDE_CGROUPS = "umount -R /sys/fs/cgroup";

function limited(spec: AnySpec, { mark }: Names): void {
  spec.linux.cgroupsPath = `/${mark}/container`;
  spec.linux.resources.memory = { limit: 64 << 20 };
  spec.linux.resources.pids = { limit: 50 };
}

/** Without a cgroup there is nothing that could restrict devices, and nothing to be mounted. */
function unlimited(spec: AnySpec): void {
  delete spec.linux.resources;
  spec.mounts = spec.mounts.filter(({ type }: { type: string }) => type !== "cgroup");
}

function mapped(spec: AnySpec): void {
  const ids = [{ containerID: 0, hostID: 100000, size: 65536 }];
  spec.linux.namespaces.push({ type: "user" });
  Object.assign(spec.linux, { uidMappings: ids, gidMappings: ids });
}

function hooked(spec: AnySpec): void {
  const hook = { path: "/bin/busybox", args: ["true"] };
  const kinds = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart"];
  spec.hooks = Object.fromEntries([...kinds, "poststop"].map((kind) => [kind, [hook]]));
}

const CHANGES: readonly ChangeStep[] = [
  ...["kill --all", "pause", "resume", "update", "update --resources -"] as const,
];
const LOOKS: readonly LookStep[] = [
  ...["ps", "ps -f json", "events", "events --stats", "state", "list", "features"] as const,
];

export const SCENARIOS: readonly Scenario[] = [
  { name: "cgroup", change: limited, more: ["exec", "exec --detach"] },
  { name: "changes", only: CHANGES, change: limited },
  {
    name: "looks",
    only: LOOKS,
    // What the two others do, these do, too.
    steps: LOOKS.filter((step) => step !== "ps -f json" && step !== "events --stats"),
    change: limited,
  },
  {
    name: "cgroup, user namespace",
    more: ["exec"],
    steps: ["create", "exec", "delete --force"],
    change(spec, names) {
      limited(spec, names);
      mapped(spec);
    },
  },
  { name: "no cgroup", world: HIDE_CGROUPS, change: unlimited },
  {
    name: "no cgroup, user namespace",
    steps: ["create", "delete --force"],
    world: HIDE_CGROUPS,
    change(spec) {
      unlimited(spec);
      mapped(spec);
    },
  },
  { name: "hooks", change: hooked },
  {
    name: "terminal",
    more: ["run --detach", "exec --tty", "exec --detach --tty"],
    steps: ["create", "run --detach", "exec --tty", "exec --detach --tty"],
    terminal: true,
    pidfds: true,
    change(spec) {
      spec.process.terminal = true;
    },
  },
  {
    name: "seccomp",
    world: FULL_CACHE,
    listener: true,
    more: ["exec"],
    steps: ["create", "start", "exec"],
    change(spec, names) {
      spec.process.scheduler = { policy: "SCHED_OTHER", nice: 1 };
      spec.process.ioPriority = { class: "IOPRIO_CLASS_BE", priority: 5 };
      spec.linux.seccomp = {
        defaultAction: "SCMP_ACT_ALLOW",
        flags: ["SECCOMP_FILTER_FLAG_LOG"],
        listenerPath: listenerPath(names),
        // None of it is what belay or busybox need.
        syscalls: [
          { names: ["acct"], action: "SCMP_ACT_NOTIFY" },
          { names: ["swapon", "reboot"], action: "SCMP_ACT_ERRNO" },
        ],
      };
    },
  },
  {
    name: "cgroup v2",
    more: ["exec"],
    steps: ["create", "exec", "delete", "delete --force"],
    world: `${HIDE_CGROUPS} && mount -t cgroup2 none /sys/fs/cgroup`,
    change(spec, { mark }) {
      spec.linux.cgroupsPath = `/${mark}/container`;
      spec.linux.namespaces.push({ type: "cgroup" });
    },
  },
  {
    name: "systemd",
    systemd: true,
    more: ["update --resources -"],
    steps: ["create", "delete --force", "update --resources -"],
    change(spec, { mark }) {
      limited(spec, { mark, home: "" });
      spec.linux.cgroupsPath = `:sweep:${mark}`;
    },
  },
  {
    name: "netns",
    subject: "netns",
    // As on a machine that systemd has just started: /run is shared, and there is no /run/netns. Links are made, too.
    world: "mount -t tmpfs tmpfs /run && mount --make-shared /run && " +
      `exec unshare --net sh -c 'mount -t sysfs sysfs /sys && exec "$@"' sh "$@"`,
  },
  { name: "userns", subject: "userns" },
];
