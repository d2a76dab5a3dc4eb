import type { Carriers, Remote } from "../../ffi/remote.ts";
import { identify } from "../../ffi/identity.ts";
import { capget } from "../../ffi/syscalls/credentials.ts";
import type { Kernel } from "../../ffi/kernel.ts";
import { AT_FDCWD } from "../../ffi/abi/file_flags.ts";
import { close, mkdirat } from "../../ffi/syscalls/file.ts";
import { accept4 } from "../../ffi/syscalls/socket.ts";
import { CLONE } from "../../ffi/abi/process_flags.ts";
import { SIGNAL } from "../../ffi/abi/signals.ts";
import { Cgroup } from "../cgroup/cgroup.ts";
import { readCgroupWorld } from "../cgroup/cgroup_mounts.ts";
import { enterCalls, intoCall } from "../cgroup/enter_cgroup.ts";
import type { Forgiving } from "../cgroup/make_directories.ts";
import { describeError } from "../cli/describe_error.ts";
import type { Logger } from "../log/logger.ts";
import type { TerminalWay } from "../process/console_socket.ts";
import type { ForeignRoot } from "../rootfs/foreign_mount.ts";
import { type PreparedMount, prepareMounts } from "../rootfs/mounts.ts";
import type { PreparedSeccomp } from "../seccomp/prepare_seccomp.ts";
import { CAP_SYS_ADMIN, checkCapabilities } from "../security/capabilities.ts";
import { hasLabels } from "../security/has_labels.ts";
import { allowsSetgroups } from "../security/user_namespace.ts";
import { loadSpec } from "../spec/load_spec.ts";
import { OCI_VERSION } from "../spec/oci_version.ts";
import type { Spec } from "../spec/types.ts";
import { ValidationError } from "../spec/validation_error.ts";
import type { ContainerUnit } from "../systemd/container_unit.ts";
import { StateDir } from "../state/state_dir.ts";
import { type StateFile, storedLimits, type StoredProcess } from "../state/state_file.ts";
import { destroyContainer } from "./destroy_container.ts";
import { personalityOf } from "./personality.ts";
import { type Join, planNamespaces } from "./namespaces.ts";
import { enterNamespaces, openTrees, type Trees } from "./outer_stub.ts";
import { letGo, prepareOuter } from "./prepare_outer.ts";
import { setUpInit } from "./set_up_init.ts";

/** What `create` and `run` are asked for. */
export interface CreateRequest {
  readonly id: string;
  /** The bundle's absolute path. */
  readonly bundle: string;
  /** The state root. */
  readonly root: string;
  readonly noPivot: boolean;
  /** Whether the container may go without a cgroup that belay may not make. */
  readonly rootless: Forgiving;
  /** `--systemd-cgroup`: systemd makes the cgroup. */
  readonly systemdCgroup: boolean;
  readonly noNewKeyring: boolean;
  /** Descriptors from 3 on that the container's process inherits. */
  readonly preserveFds: number;
  /** What else goes into the environment (LISTEN_FDS). */
  readonly extraEnv: readonly string[];
  /** The name of the user who asks. */
  readonly owner: string;
  readonly terminal: TerminalWay;
}

/** A container whose first process is a stub that has everything but its program. */
export interface Created {
  readonly dir: StateDir;
  readonly spec: Spec;
  readonly state: StateFile;
  readonly init: Remote;
  /** What `start` runs. */
  readonly exec: NonNullable<StateFile["exec"]>;
}

/**
 * Makes a container up to the moment before its program runs. On return this process still drives the stub: when it
 * dies, the stub ends, and with it all that the kernel holds for it.
 * @throws When anything fails; then nothing stays behind.
 */
export async function createContainer(
  carriers: Carriers,
  request: CreateRequest,
  log: Logger,
): Promise<Created> {
  const { thread } = carriers;
  const { spec, warnings } = loadSpec(request.bundle);
  for (const warning of warnings) log.warn(warning);
  request.terminal.check(spec.process);
  const namespaces = planNamespaces(spec);
  const ownUser = namespaces.user !== "none";
  const mounts = await checkedLabels(thread, spec, prepareMounts(thread, spec.mounts));
  const unit = request.systemdCgroup ? await planUnit(thread, spec, request) : undefined;
  const cgroupPlan = Cgroup.plan(spec, request.id, readCgroupWorld(thread), unit?.path);
  const privileged = (thread.call(capget()).effective & CAP_SYS_ADMIN) !== 0n;
  const mayGroup = privileged && allowsSetgroups(thread);
  checkRights(spec, { privileged, mayGroup, ownUser });
  if (!ownUser) checkCapabilities(thread, spec.process.capabilities);
  const seccomp = await prepareFilter(thread, spec, privileged || ownUser);

  const dir = StateDir.create(thread, request.root, request.id);
  let outer: Remote | undefined;
  let init: Remote | undefined;
  try {
    if (unit !== undefined) {
      outer = carriers.spawn("outer"); // systemd makes no scope without a process
      unit.start(thread, cgroupPlan, dir.journal, outer.pidfd.pid);
    }
    const there = outer?.pidfd.pid;
    const cgroup = Cgroup.create(thread, cgroupPlan, dir.journal, request.rootless, there);
    outer ??= carriers.spawn("outer");
    prepareOuter(carriers, outer, spec.process, request.preserveFds);
    outer.batch(enterCalls(cgroup.directories));
    const opened = intoCall(cgroup.directories);
    const into = opened && outer.call(opened);
    const { foreignMounts } = namespaces;
    // The paths of config.json are the host's, which neither user namespace nor foreign mount namespace may show. Who is
    // not root can reach as much in a user namespace, and may not open trees out here.
    const trees: Trees = (ownUser && privileged) || foreignMounts !== undefined
      ? openTrees(outer, spec.root.path, mounts)
      : { mounts };
    const foreign = foreignMounts && makeForeignRoot(thread, dir, trees.root ?? -1, foreignMounts);
    enterNamespaces(carriers, outer, namespaces, spec, privileged, foreign);
    init = outer.clone("init", {
      flags: namespaces.cloneFlags + CLONE.CLONE_PARENT +
        (into === undefined ? 0 : CLONE.CLONE_INTO_CGROUP),
      ...(into === undefined ? {} : { cgroup: into }),
    });
    // Before limits on processes are set: the outer stub counts in the cgroup, too.
    letGo(outer);
    if (into !== undefined) init.call(close(into));
    giveExecLock(carriers, dir, init);
    if (seccomp !== undefined) dir.writeFilter(seccomp.filter);
    const state = firstState(request, spec, {
      init: identify(thread, init.pidfd),
      cgroups: cgroup.directories,
      ...(unit === undefined ? {} : { unit: unit.state }),
      ownPidNamespace: namespaces.isNew("pid"),
      join: {
        namespaces: namespaces.flags,
        foreignRoot: foreign !== undefined,
        newKeyring: !request.noNewKeyring,
      },
      ...(seccomp === undefined ? {} : { seccomp: seccomp.state }),
    });
    dir.write(state);
    const context = { request, spec, namespaces, state, cgroup, privileged, mayGroup, ...trees };
    const exec = await setUpInit(carriers, init, context);
    return { dir, spec, state, init, exec };
  } catch (error) {
    await abandon(carriers, dir, [outer, init], log);
    throw error;
  }
}

/** @throws ValidationError for what only root can do, before the kernel says EPERM of some call in the middle. */
function checkRights(
  { process }: Spec,
  { privileged, mayGroup, ownUser }: Readonly<
    Record<"privileged" | "mayGroup" | "ownUser", boolean>
  >,
): void {
  if (!privileged && !ownUser) {
    const problem = 'needs one of type "user": belay is not root here';
    throw new ValidationError("linux.namespaces", problem);
  }
  if (mayGroup || process.user.additionalGids.length === 0) return;
  const problem = "cannot be set: setgroups(2) is denied to belay here";
  throw new ValidationError("process.user.additionalGids", problem);
}

/** The system call filter, where there is to be one; nothing of this is loaded where not. */
async function prepareFilter(
  thread: Kernel,
  { process, linux }: Spec,
  privileged: boolean,
): Promise<PreparedSeccomp | undefined> {
  if (linux.seccomp === undefined) return undefined;
  const { prepareSeccomp } = await import("../seccomp/prepare_seccomp.ts");
  const { noNewPrivileges } = process;
  return await prepareSeccomp(thread, linux.seccomp, { noNewPrivileges, privileged });
}

/** The unit that is to have the cgroup; nothing of this is loaded where belay makes cgroups itself. */
async function planUnit(
  thread: Kernel,
  spec: Spec,
  { id, rootless }: CreateRequest,
): Promise<ContainerUnit> {
  const { ContainerUnit } = await import("../systemd/container_unit.ts");
  return ContainerUnit.plan(thread, spec, id, rootless, (name) => Deno.env.get(name));
}

/** The mounts, with the label that they are to have; whether the kernel can have profiles and labels at all. */
async function checkedLabels(
  thread: Kernel,
  { process, linux }: Spec,
  mounts: readonly PreparedMount[],
): Promise<readonly PreparedMount[]> {
  if (!hasLabels(process) && linux.mountLabel === undefined) return mounts;
  const { checkLabels, labelMounts } = await import("../security/labels.ts");
  checkLabels(thread, process, linux.mountLabel);
  return labelMounts(mounts, linux.mountLabel);
}

/** Makes the directory for a root in a mount namespace of somebody else's: from then on `delete` knows of it. */
function makeForeignRoot(
  thread: Kernel,
  dir: StateDir,
  tree: number,
  { field }: Join,
): ForeignRoot {
  thread.call(mkdirat(AT_FDCWD, dir.foreignRoot, 0o700));
  return { place: dir.foreignRoot, tree, field };
}

/** From here on, until its execve, the stub holds the lock that says "not running yet" (`status.ts`). */
function giveExecLock({ thread }: Carriers, dir: StateDir, init: Remote): void {
  const lock = dir.takeExecLock();
  try {
    init.give([lock]);
  } finally {
    thread.call(close(lock));
  }
}

/**
 * Takes back what a failed create or run has begun. It does not throw: the error that is told is the one that was the
 * reason.
 */
export async function abandon(
  carriers: Carriers,
  dir: StateDir,
  stubs: readonly (Remote | undefined)[],
  log: Logger,
): Promise<void> {
  const steps = [
    ...stubs.map((stub) => () => {
      if (stub?.pidfd.closed === false) stub.pidfd.signal(SIGNAL.SIGKILL); // it may sit in a call that takes long
      if (stub !== undefined) letGo(stub);
    }),
    () => destroyContainer(carriers, dir, log),
    () => dir[Symbol.dispose](),
  ];
  for (const step of steps) {
    try {
      await step();
    } catch (error) {
      // The other steps must run. What could not be taken back is still in the state directory, for `delete --force`.
      log.warn(`cleaning up after the failure: ${describeError(error)}`);
    }
  }
}

function firstState(
  request: CreateRequest,
  spec: Spec,
  made: Pick<StateFile, "init" | "cgroups" | "unit" | "ownPidNamespace" | "join" | "seccomp">,
): StateFile {
  const { startContainer, poststart, poststop } = spec.hooks;
  return {
    ociVersion: OCI_VERSION,
    id: request.id,
    bundle: request.bundle,
    rootfs: spec.root.path,
    created: new Date().toISOString(),
    owner: request.owner,
    annotations: spec.annotations,
    ...made,
    process: storedProcess(spec.process),
    hooks: { startContainer, poststart, poststop },
    ...(spec.linux.personality === undefined
      ? {}
      : { personality: personalityOf(spec.linux.personality) }),
    preserveFds: request.preserveFds,
  };
}

function storedProcess(process: Spec["process"]): StoredProcess {
  const { args: _args, terminal: _terminal, consoleSize: _size, ...rest } = process;
  return { ...rest, rlimits: storedLimits(process.rlimits) };
}

/**
 * Leaves a created container to itself: its stub sleeps in accept4 on the control socket until `start` comes.
 * The state is complete before the stub is left: from then on it no longer ends with this process.
 */
export function leaveCreated(carriers: Carriers, created: Created): void {
  const { dir, init, state, exec } = created;
  const { thread } = carriers;
  const socket = dir.listen();
  let there;
  try {
    [there = -1] = init.give([socket]);
  } finally {
    thread.call(close(socket));
  }
  dir.write({ ...state, exec });
  init.leaveIn(accept4(there));
  init.pidfd[Symbol.dispose]();
}
