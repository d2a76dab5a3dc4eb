/**
 * What this kernel offers of all that belay uses, asked without changing anything. No kernel version is compared:
 * distributions carry features back, filters take them away.
 *
 * @module
 */
import { call, effect, Struct } from "./call.ts";
import * as probe from "./feature_probes.ts";
import { type Finding, found } from "./feature_probes.ts";
import type { Kernel } from "./kernel.ts";
import type { Carriers } from "./remote.ts";
import { close_range, faccessat2, openat2 } from "./syscalls/file.ts";
import { AT, AT_FDCWD, CLOSE_RANGE_CLOEXEC, O, RESOLVE } from "./abi/file_flags.ts";

export type { Finding } from "./feature_probes.ts";

/** One feature of the kernel. */
export interface Feature {
  /** The kernel's name for it. */
  readonly name: string;
  /** The first kernel that had it. */
  readonly since: string;
  /** What belay does with it. */
  readonly purpose: string;
  /** Whether belay cannot run without it. */
  readonly required: boolean;
}

/** A feature, and what was found here. */
export type ProbedFeature = Feature & Finding;

/** A descriptor number that nobody has: above every limit. */
const NO_FD = 0x7fffffff;

/** What the probes of one run share: a stub is started once. */
interface World {
  readonly kernel: Kernel;
  readonly stub: ReturnType<typeof probe.startsStub>;
}

type Entry = readonly [
  name: string,
  since: string,
  purpose: string,
  need: "required" | "used",
  ask: (world: World) => Finding,
];

const ns = (entry: string) => ({ kernel }: World) => probe.hasNamespace(kernel, entry);

const FEATURES: readonly Entry[] = [
  [
    "open_tree, move_mount",
    "5.2",
    "mounts by descriptor",
    "required",
    ({ kernel }) => probe.knows(kernel, effect("move_mount", NO_FD, "", NO_FD, "", 0xffffffff)),
  ],
  [
    "fsopen, fsmount",
    "5.2",
    "file systems that are mounted nowhere yet",
    "required",
    ({ kernel }) => probe.knows(kernel, call("fsmount", NO_FD, 0xffffffff, 0)),
  ],
  [
    "clone3",
    "5.3",
    "a child in new namespaces, held from birth",
    "required",
    ({ kernel }) => probe.knows(kernel, call("clone3", 0, 0)),
  ],
  [
    "pidfd_open",
    "5.3",
    "processes are held, not numbered",
    "required",
    ({ kernel }) => probe.aboutSelf(kernel, () => found(true)),
  ],
  [
    "waitid P_PIDFD",
    "5.4",
    "waiting for one process and no other",
    "required",
    ({ kernel }) => probe.waitsByPidfd(kernel),
  ],
  ["openat2", "5.6", "paths that cannot leave the rootfs", "required", ({ kernel }) =>
    probe.knows(
      kernel,
      openat2(NO_FD, "x", { flags: O.O_PATH, resolve: RESOLVE.RESOLVE_IN_ROOT }),
    )],
  [
    "pidfd_getfd",
    "5.6",
    "descriptors of another process",
    "used",
    ({ kernel }) => probe.knows(kernel, call("pidfd_getfd", NO_FD, 0, 0)),
  ],
  [
    "faccessat2",
    "5.8",
    "the oldest kernel that belay supports",
    "required",
    ({ kernel }) => probe.knows(kernel, faccessat2(AT_FDCWD, "/", 0, AT.AT_EACCESS)),
  ],
  [
    "BPF iterators",
    "5.8",
    "who holds a network namespace, in two walks",
    "used",
    ({ kernel }) => probe.describesTypes(kernel),
  ],
  [
    "close_range",
    "5.9",
    "no descriptor of belay's in a container",
    "used",
    ({ kernel }) => probe.knows(kernel, close_range(NO_FD, NO_FD, 0)),
  ],
  [
    "CLOSE_RANGE_CLOEXEC",
    "5.11",
    "the same, at execve",
    "used",
    ({ kernel }) => found(probe.succeeds(kernel, close_range(NO_FD, NO_FD, CLOSE_RANGE_CLOEXEC))),
  ],
  [
    "mount_setattr",
    "5.12",
    "mount options for a whole tree at once",
    "used",
    ({ kernel }) =>
      probe.knows(
        kernel,
        effect("mount_setattr", NO_FD, "", AT.AT_EMPTY_PATH, new Struct(32, []), 0),
      ),
  ],
  [
    "cgroup.kill",
    "5.14",
    "ending a container faster than it forks",
    "used",
    ({ kernel }) => probe.killsCgroups(kernel),
  ],
  [
    "tcx links",
    "6.6",
    "a sandbox's network that ends with it",
    "used",
    ({ kernel }) => probe.hasTcx(kernel),
  ],
  [
    "pidfs",
    "6.9",
    "a number for a process that is never used again",
    "used",
    ({ kernel }) => probe.hasPidfs(kernel),
  ],
  ["PIDFD_GET_*_NAMESPACE", "6.11", "the namespaces of a process, not of its number", "used", (
    { kernel },
  ) => probe.tellsNamespaces(kernel)],
  [
    "PIDFD_GET_INFO",
    "6.13",
    "facts about a process that is held",
    "used",
    ({ kernel }) => probe.tellsInfo(kernel),
  ],
  [
    "pidfs file handles",
    "6.14",
    "naming a process across two runs of belay",
    "used",
    ({ kernel }) => probe.hasPidfsHandles(kernel),
  ],
  ["PIDFD_INFO_EXIT", "6.15", "how somebody else's child ended", "used", ({ stub }) => stub.exit],
  ["stub", "", "the process that becomes the container", "required", ({ stub }) => stub.starts],
  [
    "executable memfd",
    "3.17",
    "a stub that nobody can overwrite",
    "used",
    ({ stub }) => stub.memfd,
  ],
  ["mount namespaces", "2.4", "CLONE_NEWNS", "required", ns("mnt")],
  ["pid namespaces", "2.6", "CLONE_NEWPID", "used", ns("pid")],
  ["network namespaces", "2.6", "CLONE_NEWNET", "used", ns("net")],
  ["ipc namespaces", "2.6", "CLONE_NEWIPC", "used", ns("ipc")],
  ["uts namespaces", "2.6", "CLONE_NEWUTS", "used", ns("uts")],
  [
    "user namespaces",
    "3.8",
    "CLONE_NEWUSER",
    "used",
    ({ kernel }) => probe.mayMakeUserNamespaces(kernel),
  ],
  ["cgroup namespaces", "4.6", "CLONE_NEWCGROUP", "used", ns("cgroup")],
  ["time namespaces", "5.6", "CLONE_NEWTIME", "used", ns("time")],
  ["cgroups", "2.6", "linux.resources", "used", ({ kernel }) => {
    const mode = probe.cgroupMode(kernel);
    return found(mode !== "none", `${mode}: ${probe.cgroupControllers(kernel).join(" ")}`);
  }],
  ["seccomp filters", "3.5", "linux.seccomp", "used", ({ kernel }) => {
    const actions = probe.readSmall(kernel, "/proc/sys/kernel/seccomp/actions_avail");
    return found(actions !== undefined, actions);
  }],
  [
    "session keyrings",
    "2.6",
    "a keyring of the container's own",
    "used",
    ({ kernel }) => probe.knows(kernel, call("keyctl", 0xffff)),
  ],
  [
    "security modules",
    "2.6",
    "apparmorProfile, selinuxLabel",
    "used",
    ({ kernel }) => {
      const modules = probe.readSmall(kernel, "/sys/kernel/security/lsm");
      return modules === undefined
        ? found(undefined, "/sys/kernel/security is not mounted, or not readable")
        : found(true, modules);
    },
  ],
];

/** Asks for every feature, in the order of the kernels that brought them, then the rest. */
export function probeFeatures(carriers: Carriers): ProbedFeature[] {
  const world = { kernel: carriers.thread, stub: probe.startsStub(carriers) };
  return FEATURES.map(([name, since, purpose, need, ask]) => ({
    ...{ name, since, purpose, required: need === "required" },
    ...ask(world),
  }));
}
