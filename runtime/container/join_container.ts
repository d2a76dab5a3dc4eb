import type { Kernel } from "../../ffi/kernel.ts";
import type { Carriers, Remote } from "../../ffi/remote.ts";
import { Deferring } from "../../ffi/deferring.ts";
import type { Pidfd } from "../../ffi/pidfd.ts";
import { close, openat } from "../../ffi/syscalls/file.ts";
import { AT_FDCWD, O } from "../../ffi/abi/file_flags.ts";
import { setns } from "../../ffi/syscalls/namespace.ts";
import { prctl } from "../../ffi/syscalls/process.ts";
import { CLONE, PR } from "../../ffi/abi/process_flags.ts";
import { SIGNAL } from "../../ffi/abi/signals.ts";
import { isSyscallError, SyscallError } from "../../ffi/syscall_error.ts";
import { StubGone } from "../../ffi/stub.ts";
import { isExiting } from "../../ffi/is_exiting.ts";
import type { CgroupDirectory } from "../cgroup/cgroup_plan.ts";
import { enterCalls, intoCall } from "../cgroup/enter_cgroup.ts";
import { CgroupError } from "../cgroup/cgroup_error.ts";
import { CommandError } from "../cli/command_error.ts";
import type { Process } from "../spec/types.ts";
import type { StateFile } from "../state/state_file.ts";
import type { UnitState } from "../systemd/unit_entry.ts";
import { prepareOuter } from "./prepare_outer.ts";

/** What every process has, whatever config.json names: the machine's root joins all of it. */
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
  /** Where it is to be in each hierarchy: the container's cgroups, or some below those. */
  readonly cgroups: readonly CgroupDirectory[];
  /** Whether somebody asked for those very cgroups. */
  readonly cgroupsAsked: boolean;
  readonly process: Pick<Process, "oomScoreAdj" | "rlimits" | "execCPUAffinity">;
  readonly preserveFds: number;
  /** Whether belay is the machine's root: the root of a user namespace may enter none that is the machine's own. */
  readonly hostRoot: boolean;
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
  const { init, state, cgroups, process, preserveFds, hostRoot } = joining;
  const { namespaces } = state.join;
  const unified = intoCall(cgroups);
  // On cgroup2 a process may only be born into a cgroup that its parent's cgroup namespace shows.
  const later = unified === undefined ? 0 : namespaces & CLONE.CLONE_NEWCGROUP;
  const flags = (hostRoot ? namespaces | ALWAYS : namespaces) &
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
      ...enterCalls(cgroups),
      // From birth on nobody in the container may look into it (CVE-2016-9962).
      prctl(PR.PR_SET_DUMPABLE, 0),
      setns(there, flags),
    ]);
    const places = unified === undefined ? [] : [Number(first)];
    try {
      stub = bear(outer, places.at(-1));
    } catch (error) {
      places.push(await besideInit(carriers.thread, outer, joining, error));
      stub = bear(outer, places.at(-1));
    }
    outer[Symbol.dispose]();
    if (!init.alive()) throw stopped();
    const stubSteps = new Deferring(stub);
    if (later !== 0) {
      stubSteps.post([setns(there, later)]);
    }
    stubSteps.post([close(there), ...places.map((place) => close(place))]);
    if (final !== undefined) await affinity(stubSteps, "final", final);
    return { stub, steps: stubSteps, outer };
  } catch (error) {
    endStub(outer);
    if (stub !== undefined) endStub(stub);
    throw explained(carriers.thread, init, error);
  }
}

/**
 * What an error of `exec` means: the kernel refuses what belongs to a container that ends, and kills who is in it, in
 * many ways. Namespaces of a process that is exiting: ESRCH; a pid namespace without its first process: ENOMEM, or the
 * death of who was just born into it; removed cgroups and files of the container: ENOENT, ENODEV.
 */
export function explained(thread: Kernel, init: Pidfd, error: unknown): unknown {
  const refused = error instanceof SyscallError || error instanceof CgroupError ||
    error instanceof StubGone;
  return refused && isExiting(thread, init) ? stopped(error) : error;
}

/** Puts the stub into the container's unit, where nobody but systemd may. */
async function enterUnit({ thread }: Carriers, unit: UnitState, stub: Remote): Promise<void> {
  const { enterUnit } = await import("../systemd/container_unit.ts");
  enterUnit(thread, unit, stub.pidfd.pid);
}

/** The stub that is joined, born into a cgroup2 directory where there is one. */
function bear(outer: Remote, cgroup: number | undefined): Remote {
  return outer.clone("exec", {
    // Past 32 bits: an addition, not JavaScript's |.
    flags: CLONE.CLONE_PARENT + (cgroup === undefined ? 0 : CLONE.CLONE_INTO_CGROUP),
    ...(cgroup === undefined ? {} : { cgroup }),
  });
}

/**
 * The cgroup that the container's first process is in by now, opened, for a container that has divided its cgroup: one
 * that gives controllers to its children may have no processes of its own (cgroup-v2.rst, "No Internal Process
 * Constraint"). That is what runc does, too. The host's path is opened here: the stub is in the container already.
 * @returns The descriptor in the stub.
 * @throws The error that came, when that is not the reason, or the first process is not below the container's cgroup.
 */
async function besideInit(
  thread: Kernel,
  outer: Remote,
  { init, cgroups, cgroupsAsked }: Joining,
  error: unknown,
): Promise<number> {
  const directory = cgroups.find(({ version }) => version === 2)?.path;
  // EOPNOTSUPP: the same, where children are threaded.
  if (!isSyscallError(error, "EBUSY", "EOPNOTSUPP") || error.syscall !== "clone3") throw error;
  if (directory === undefined || cgroupsAsked) throw error;
  const { cgroupBelow } = await import("../cgroup/cgroup_of_process.ts");
  const path = cgroupBelow(thread, directory, init.pid);
  if (path === undefined || !init.alive()) throw error;
  const fd = thread.call(openat(AT_FDCWD, path, O.O_RDONLY | O.O_DIRECTORY));
  try {
    const [given = -1] = outer.give([fd]);
    return given;
  } finally {
    thread.call(close(fd));
  }
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
