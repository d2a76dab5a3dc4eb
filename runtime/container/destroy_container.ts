import type { Carriers } from "../../ffi/remote.ts";
import type { Kernel } from "../../ffi/kernel.ts";
import type { Pidfd } from "../../ffi/pidfd.ts";
import { reopen } from "../../ffi/identity.ts";
import { SIGNAL } from "../../ffi/abi/signals.ts";
import type { Logger } from "../log/logger.ts";
import { CgroupError } from "../cgroup/cgroup_error.ts";
import { destroyCgroups } from "../cgroup/destroy_cgroups.ts";
import { listProcesses, signalCgroup } from "../cgroup/processes.ts";
import { inRuntime, runHooks } from "../hooks/run_hooks.ts";
import { describeError } from "../cli/describe_error.ts";
import type { StateFile } from "../state/state_file.ts";
import type { StateDir } from "../state/state_dir.ts";
import { releaseForeignRoot } from "../rootfs/foreign_mount.ts";
import { thaw } from "./frozen.ts";
import { hookState } from "./hook_state.ts";

/** How long a killed process may take to end: it can be deep in a call that cannot be interrupted. */
const END_TIMEOUT_MS = 10_000;
/** How often is looked who is still there. */
const END_POLL_MS = 50;
/** How long those who are in the cgroups and do not end with the first process have to leave, before they are killed. */
const OTHERS_PATIENCE_MS = 1000;

/**
 * Ends whatever lives of a container and removes whatever is left, from any state that create, start or an earlier
 * delete was interrupted in. Every step is asked again without harm, what is gone already is success, and all steps
 * run whatever fails; the state directory goes last, and only when nothing else is left.
 * @param dir The container's directory, locked.
 * @throws AggregateError of everything that failed.
 */
export async function destroyContainer(
  carriers: Carriers,
  dir: StateDir,
  log: Logger,
): Promise<void> {
  const { thread } = carriers;
  const failures: unknown[] = [];
  const step = (release: () => void) => {
    try {
      release();
    } catch (error) {
      failures.push(error); // told at the end: the other steps must run
    }
  };
  const state = dir.read();
  const entries = dir.entries().reverse();
  const cgroups = entries.filter((entry) => entry.kind === "cgroup");
  const units = entries.filter((entry) => entry.kind === "unit");

  let lived = false;
  step(() => {
    using init = state?.init === undefined ? undefined : reopen(thread, state.init);
    if (init === undefined) return;
    lived = init.alive();
    init.signal(SIGNAL.SIGKILL);
    thaw(thread, state); // a frozen process of cgroup v1 cannot die
    if (!hasEnded(thread, init, state)) throw new Error(`process ${init.pid} does not end`);
  });
  // Who cannot be reached by name is still in the container's cgroups, with all who do not end with the first process.
  if (state !== undefined && (!state.ownPidNamespace || failures.length > 0)) {
    step(() => signalCgroup(thread, state.cgroups, SIGNAL.SIGKILL));
  }
  step(() => releaseForeignRoot(thread, dir.foreignRoot));
  if (units.length > 0) {
    const { stopUnits } = await import("../systemd/container_unit.ts");
    step(() => stopUnits(thread, units));
  }
  step(() => {
    // Of one that had stopped before, the cgroups may be another container's by now: `create` takes what is empty.
    if (state === undefined || !lived) return destroyCgroups(thread, cgroups);
    try {
      destroyCgroups(thread, cgroups, OTHERS_PATIENCE_MS);
    } catch (error) {
      if (!(error instanceof CgroupError)) throw error;
      // Outside the pid namespace, or it would have ended: the stub of an `exec` that is itself stopped, for example.
      signalCgroup(thread, state.cgroups, SIGNAL.SIGKILL);
      destroyCgroups(thread, cgroups);
    }
  });
  if (state !== undefined) runPoststop(carriers, state, log);
  if (failures.length > 0) {
    throw new AggregateError(failures, `container ${dir.id} could not be removed whole`);
  }
  dir.remove();
}

/**
 * Whether the container's killed first process has ended, or is only kept by somebody outside: a process that `exec`
 * added is a zombie of its caller's, and the first one of a pid namespace must wait until that one is reaped
 * (zap_pid_ns_processes() in kernel/pid_namespace.c). Whoever asks us to delete may do so only after us. By then the
 * first process holds nothing more, and no cgroup of the container lists it.
 */
function hasEnded(thread: Kernel, init: Pidfd, state: StateFile | undefined): boolean {
  const cgroups = state?.cgroups ?? [];
  for (let waited = 0; waited < END_TIMEOUT_MS; waited += END_POLL_MS) {
    if (init.waitSync(END_POLL_MS)) return true;
    if (
      cgroups.length > 0 &&
      !cgroups.some(({ path }) => listProcesses(thread, path).includes(init.pid))
    ) {
      return true;
    }
  }
  return false;
}

/** runtime.md, "Lifecycle": a failing poststop hook is logged, all others run, and delete succeeds all the same. */
function runPoststop(carriers: Carriers, state: StateFile, log: Logger): void {
  if (state.hooks.poststop.length === 0) return;
  const stopped = hookState(state, "stopped");
  runHooks(
    carriers.thread,
    inRuntime(carriers),
    "poststop",
    state.hooks.poststop,
    stopped,
    (error) => log.warn(describeError(error)),
  );
}
