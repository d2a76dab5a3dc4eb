import type { Carriers } from "../../ffi/remote.ts";
import { reopen } from "../../ffi/identity.ts";
import { SIGNAL } from "../../ffi/abi/signals.ts";
import type { Logger } from "../log/logger.ts";
import { destroyCgroups, signalCgroup } from "../cgroup/cgroup.ts";
import { inRuntime, runHooks } from "../hooks/run_hooks.ts";
import { describeError } from "../cli/describe_error.ts";
import type { StateFile } from "../state/state_file.ts";
import type { StateDir } from "../state/state_dir.ts";
import { releaseForeignRoot } from "../rootfs/foreign_mount.ts";
import { thaw } from "./frozen.ts";
import { hookState } from "./hook_state.ts";

/** How long a killed process may take to end: it can be deep in a call that cannot be interrupted. */
const END_TIMEOUT_MS = 10_000;

/**
 * Ends whatever lives of a container and removes whatever is left, from any state that create, start or an earlier
 * delete was interrupted in. Every step is asked again without harm, what is gone already is success, and all steps
 * run whatever fails; the state directory goes last, and only when nothing else is left.
 * @param dir The container's directory, locked.
 * @throws AggregateError of everything that failed.
 */
export function destroyContainer(carriers: Carriers, dir: StateDir, log: Logger): void {
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
  const cgroups = dir.entries().reverse();

  step(() => {
    using init = state?.init === undefined ? undefined : reopen(thread, state.init);
    if (init === undefined) return;
    init.signal(SIGNAL.SIGKILL);
    thaw(thread, state); // a frozen process of cgroup v1 cannot die
    if (!init.waitSync(END_TIMEOUT_MS)) throw new Error(`process ${init.pid} does not end`);
  });
  // Who cannot be reached by name is still in the container's cgroups, with all who do not end with the first process.
  if (state !== undefined && (!state.ownPidNamespace || failures.length > 0)) {
    step(() => signalCgroup(thread, state.cgroups, SIGNAL.SIGKILL));
  }
  step(() => releaseForeignRoot(thread, dir.foreignRoot));
  step(() => destroyCgroups(thread, cgroups));
  if (state !== undefined) runPoststop(carriers, state, log);
  if (failures.length > 0) {
    throw new AggregateError(failures, `container ${dir.id} could not be removed whole`);
  }
  dir.remove();
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
