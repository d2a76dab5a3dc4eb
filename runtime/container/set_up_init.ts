import type { Carriers, Remote } from "../../ffi/remote.ts";
import type { Kernel } from "../../ffi/kernel.ts";
import { Deferring } from "../../ffi/deferring.ts";
import { getpid } from "../../ffi/syscalls/process.ts";
import { CommandError } from "../cli/command_error.ts";
import type { Cgroup } from "../cgroup/cgroup.ts";
import { inContainer, inRuntime, runHooks } from "../hooks/run_hooks.ts";
import { withHome } from "../process/home.ts";
import { adaptStdio, lookAtStdio } from "../process/stdio.ts";
import { cgroupView, makeCgroupMount } from "../rootfs/cgroup_mount.ts";
import { makeDevices, makeLinks, setsUpDev } from "../rootfs/devices.ts";
import { atPlace } from "../rootfs/in_root.ts";
import { makeMount, type PreparedMount, sealLate } from "../rootfs/mounts.ts";
import { protectPaths } from "../rootfs/protect_paths.ts";
import { attachRoot, chrootOnly, enterRoot, pivot, sealRoot, shareRoot } from "../rootfs/root.ts";
import type { Spec } from "../spec/types.ts";
import { type StateFile, storedLimits } from "../state/state_file.ts";
import type { CreateRequest } from "./create_container.ts";
import { hasLabels } from "../security/has_labels.ts";
import { becomeProcess } from "./become_process.ts";
import { hookState } from "./hook_state.ts";
import { becomeInit, setNames } from "./init_stub.ts";
import { personalityOf, takePersonality } from "./personality.ts";
import type { NamespacePlan } from "./namespaces.ts";
import { setSysctls } from "./sysctls.ts";

/** Everything that is known when the container's first process has come to be. */
export interface InitContext {
  readonly request: CreateRequest;
  readonly spec: Spec;
  readonly namespaces: NamespacePlan;
  readonly state: StateFile;
  readonly cgroup: Cgroup;
  /** Whether belay is root on the host. */
  readonly privileged: boolean;
  /** Whether setgroups(2) is allowed. */
  readonly mayGroup: boolean;
  readonly mounts: readonly PreparedMount[];
  /** The detached tree of the root directory, where the outer stub had to open it. */
  readonly root?: number;
}

/**
 * The story of the container's first process, from a bare clone to everything but its program. Order matters: hooks of
 * the runtime see the mounts and can still reach the host's paths; what protects (read-only paths, the sealed root)
 * comes after everything that writes; credentials come last.
 * @returns What it is to execute.
 */
export async function setUpInit(
  carriers: Carriers,
  init: Remote,
  context: InitContext,
): Promise<NonNullable<StateFile["exec"]>> {
  const { request, spec, namespaces, privileged, mayGroup } = context;
  const { process, linux } = spec;
  const ownUserNamespace = namespaces.user !== "none";
  const foreign = namespaces.foreignMounts !== undefined;
  const steps = new Deferring(init);
  becomeInit(steps, request.id, { newKeyring: !request.noNewKeyring, ownUserNamespace });
  if (hasLabels(process)) (await import("../security/labels.ts")).labelProcess(steps, process);
  const root = foreign && context.root !== undefined
    ? context.root // attached before its namespace was entered
    : attachRoot(
      steps,
      spec.root.path,
      linux.rootfsPropagation,
      hooksBeforePivot(spec) && !request.noPivot,
      context.root,
    );
  for (const mount of context.mounts) mountOne(steps, root, mount, context);
  if (setsUpDev(spec)) {
    makeDevices(steps, root, spec, ownUserNamespace || !privileged);
    makeLinks(steps, root);
  }
  makeCwd(steps, root, process.cwd);
  steps.flush();
  context.cgroup.limit(carriers.thread);
  if (process.terminal) request.terminal.make(init, root, process, true);

  runCreateHooks(carriers, init, context);

  setNames(steps, spec);
  if (linux.personality !== undefined) takePersonality(steps, personalityOf(linux.personality));
  setSysctls(steps, root, linux.sysctl);
  protectPaths(steps, root, linux.readonlyPaths, linux.maskedPaths);
  sealLate(steps, root, context.mounts);
  sealRoot(steps, root, spec.root.readonly, linux.rootfsPropagation);
  const { uid } = process.user;
  const env = withHome(steps, root, [...process.env, ...request.extraEnv], uid);
  if (!process.terminal) adaptStdio(steps, root, lookAtStdio(carriers.thread, uid), uid);
  if (foreign) enterRoot(steps, root);
  else if (request.noPivot) chrootOnly(steps, root, spec.root.path);
  else pivot(steps, root);
  shareRoot(steps, linux.rootfsPropagation);
  const filtered = linux.seccomp !== undefined;
  const program = await becomeProcess(steps, carriers.thread, { ...process, env }, {
    ...{ mayGroup, filtered },
  });
  return { ...program, rlimits: storedLimits(process.rlimits) };
}

/** Makes what is missing of `process.cwd`, as runc does. Links that only /proc has (`/proc/self/fd/7`) lead nowhere. */
function makeCwd(steps: Kernel, root: number, cwd: string): void {
  atPlace(steps, root, cwd, "directory", () => [], (cause) => {
    throw new CommandError(`process.cwd: ${cwd} is no directory of the container`, { cause });
  });
}

function mountOne(
  steps: Kernel,
  root: number,
  prepared: PreparedMount,
  context: InitContext,
): void {
  const { mount } = prepared;
  if (mount.type === "cgroup" && !mount.parsed.bind) {
    const ownNamespace = context.namespaces.has("cgroup");
    makeCgroupMount(steps, root, prepared, cgroupView(context.cgroup.visible), ownNamespace);
  } else makeMount(steps, root, prepared);
}

/** Whether anybody but belay looks at the root before it is the container's. */
function hooksBeforePivot({ hooks }: Spec): boolean {
  return hooks.prestart.length + hooks.createRuntime.length + hooks.createContainer.length > 0;
}

/** prestart and createRuntime in the runtime's namespaces, createContainer in the container's. */
function runCreateHooks(carriers: Carriers, init: Remote, { spec, state }: InitContext): void {
  const { prestart, createRuntime, createContainer } = spec.hooks;
  const { thread } = carriers;
  const outside = hookState(state, "creating", init.pidfd.pid);
  runHooks(thread, inRuntime(carriers), "prestart", prestart, outside);
  runHooks(thread, inRuntime(carriers), "createRuntime", createRuntime, outside);
  if (createContainer.length === 0) return;
  const inside = hookState(state, "creating", init.call(getpid()));
  const place = inContainer(init, spec.process.env);
  runHooks(thread, place, "createContainer", createContainer, inside);
}
