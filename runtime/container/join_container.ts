import type { Kernel } from "../../ffi/kernel.ts";
import type { Carriers, Remote } from "../../ffi/remote.ts";
import { Deferring } from "../../ffi/deferring.ts";
import type { Pidfd } from "../../ffi/pidfd.ts";
import { close } from "../../ffi/syscalls/file.ts";
import { setns } from "../../ffi/syscalls/namespace.ts";
import { prctl } from "../../ffi/syscalls/process.ts";
import { CLONE, PR } from "../../ffi/abi/process_flags.ts";
import { SIGNAL } from "../../ffi/abi/signals.ts";
import { SyscallError } from "../../ffi/syscall_error.ts";
import { enterCalls, intoCall } from "../cgroup/enter_cgroup.ts";
import { CgroupError } from "../cgroup/cgroup_error.ts";
import { CommandError } from "../cli/command_error.ts";
import type { Process } from "../spec/types.ts";
import type { StateFile } from "../state/state_file.ts";
import type { UnitState } from "../systemd/unit_entry.ts";
import { prepareOuter } from "./prepare_outer.ts";

/** What every process has, whatever config.json names: root joins all of it, as runc does. */
const ALWAYS = CLONE.CLONE_NEWNS | CLONE.CLONE_NEWPID | CLONE.CLONE_NEWNET | CLONE.CLONE_NEWIPC |
  CLONE.CLONE_NEWUTS | CLONE.CLONE_NEWCGROUP;

/** A stub in a container, beside its first process. */
export interface Joined {
  /** In all namespaces and cgroups of the container; a child of belay's. */
  readonly stub: Remote;
  /** Its next steps: what closes the door behind it waits there. */
  readonly steps: Deferring;
  /** The stub that it was born from, which ends by itself; to be reaped. */
  readonly outer: Remote;
}

/** How a container is joined. */
export interface Joining {
  /** Its first process, held: the namespaces are that very process's, whatever becomes of its number. */
  readonly init: Pidfd;
  readonly state: StateFile;
  readonly process: Pick<Process, "oomScoreAdj" | "rlimits" | "execCPUAffinity">;
  readonly preserveFds: number;
  /** Whether belay is root on the host. */
  readonly privileged: boolean;
}

/**
 * Puts a stub into a container: into its cgroups first, so that nothing of it ever runs unlimited, then into all
 * namespaces at once, by the pidfd of its first process (setns(2), kernel 5.8).
 *
 * Nobody is locked out meanwhile. A `delete` ends the first process before it ends what else is in the cgroups; here
 * the stub is in the cgroups before the first process is seen alive for the last time. So `delete` finds the stub, or
 * the stub finds that it has come too late.
 * @throws CommandError when the container ends meanwhile.
 */
export async function joinContainer(carriers: Carriers, joining: Joining): Promise<Joined> {
  const { init, state, process, preserveFds, privileged } = joining;
  const { namespaces } = state.join;
  const unified = intoCall(state.cgroups);
  // On cgroup2 a process may only be born into a cgroup that its parent's cgroup namespace shows.
  const later = unified === undefined ? 0 : namespaces & CLONE.CLONE_NEWCGROUP;
  const flags = (privileged ? namespaces | ALWAYS : namespaces) &
    ~(unified === undefined ? 0 : CLONE.CLONE_NEWCGROUP);
  const outer = carriers.spawn("outer");
  let stub: Remote | undefined;
  try {
    prepareOuter(carriers, outer, process, preserveFds);
    const { initial, final } = process.execCPUAffinity ?? {};
    if (initial !== undefined) await affinity(outer, "initial", initial);
    if (state.unit?.user) await enterUnit(carriers, state.unit, outer);
    const [there = -1] = outer.give([init.fd]);
    const [first]: unknown[] = outer.batch([
      ...(unified === undefined ? [] : [unified]),
      ...enterCalls(state.cgroups),
      // From birth on nobody in the container may look into it (CVE-2016-9962).
      prctl(PR.PR_SET_DUMPABLE, 0),
      setns(there, flags),
    ]);
    const into = unified === undefined ? undefined : Number(first);
    stub = outer.clone("exec", {
      // Past 32 bits: an addition, not JavaScript's |.
      flags: CLONE.CLONE_PARENT + (into === undefined ? 0 : CLONE.CLONE_INTO_CGROUP),
      ...(into === undefined ? {} : { cgroup: into }),
    });
    outer[Symbol.dispose]();
    if (!init.alive()) throw stopped();
    const steps = new Deferring(stub);
    if (later !== 0) {
      steps.post([setns(there, later)], (error) => {
        throw init.alive() ? error : stopped(error);
      });
    }
    steps.post([close(there), ...(into === undefined ? [] : [close(into)])]);
    if (final !== undefined) await affinity(steps, "final", final);
    return { stub, steps, outer };
  } catch (error) {
    endStub(outer);
    if (stub !== undefined) endStub(stub);
    // Namespaces of a process that has ended: ESRCH; a pid namespace without its first process: ENOMEM.
    const refused = error instanceof SyscallError || error instanceof CgroupError;
    if (refused && !init.alive()) throw stopped(error);
    throw error;
  }
}

/** Puts the stub into the container's unit, where nobody but systemd may. */
async function enterUnit({ thread }: Carriers, unit: UnitState, stub: Remote): Promise<void> {
  const { enterUnit } = await import("../systemd/container_unit.ts");
  enterUnit(thread, unit, stub.pidfd.pid);
}

/** Few ask for it: what does it is loaded then. */
async function affinity(stub: Kernel, which: "initial" | "final", list: string): Promise<void> {
  const { setAffinity } = await import("../process/scheduling.ts");
  setAffinity(stub, which, list);
}

/** Ends a stub, or what it has become, and reaps it; twice is harmless. */
export function endStub(stub: Remote): void {
  stub[Symbol.dispose]();
  if (stub.pidfd.closed) return;
  stub.pidfd.signal(SIGNAL.SIGKILL);
  stub.pidfd.reap();
  stub.pidfd[Symbol.dispose]();
}

function stopped(cause?: unknown): CommandError {
  return new CommandError("cannot exec in a stopped container", { cause });
}
