import type { Kernel } from "../../ffi/kernel.ts";
import type { Carriers } from "../../ffi/remote.ts";
import { post } from "../../ffi/deferring.ts";
import type { Pidfd } from "../../ffi/pidfd.ts";
import { capget } from "../../ffi/syscalls/credentials.ts";
import { chdir } from "../../ffi/syscalls/file.ts";
import { chroot } from "../../ffi/syscalls/mount.ts";
import { AT_FDCWD } from "../../ffi/abi/file_flags.ts";
import { CLONE } from "../../ffi/abi/process_flags.ts";
import type { TerminalWay } from "../process/console_socket.ts";
import { StubGone } from "../../ffi/stub.ts";
import { withHome } from "../process/home.ts";
import { adaptStdio, lookAtStdio } from "../process/stdio.ts";
import { CAP_SYS_ADMIN, checkCapabilities } from "../security/capabilities.ts";
import { hasLabels } from "../security/has_labels.ts";
import { allowsSetgroups, inUserNamespace } from "../security/user_namespace.ts";
import type { Process } from "../spec/types.ts";
import type { StateDir } from "../state/state_dir.ts";
import { type StateFile, storedLimits } from "../state/state_file.ts";
import { becomeProcess } from "./become_process.ts";
import { takePersonality } from "./personality.ts";
import { becomeProgram } from "./become_program.ts";
import { becomeInit } from "./init_stub.ts";
import { endStub, explained, joinContainer } from "./join_container.ts";
import { letGo } from "./prepare_outer.ts";

/** What `exec` is asked for. */
export interface ExecRequest {
  readonly process: Process;
  /** Descriptors from 3 on that the process inherits. */
  readonly preserveFds: number;
  /** What else goes into the environment (LISTEN_FDS). */
  readonly extraEnv: readonly string[];
  /** `[CONTROLLER[,CONTROLLER...]:]PATH`: where it is to be below the container's cgroups. */
  readonly cgroups: readonly string[];
  readonly terminal: TerminalWay;
  /** Called when all is done but the program's first instruction: the process is there to be named and signalled. */
  readonly born: (process: Pidfd) => void;
  /** Whether signals are handed on to it from then on: then it may end of one before its program begins. */
  readonly signalled: boolean;
}

/** A container that was found running. */
export interface RunningContainer {
  readonly dir: StateDir;
  readonly state: StateFile;
  /** Its first process, held. */
  readonly init: Pidfd;
}

/**
 * Adds a process to a container: in its cgroups, its namespaces and under its system call filter from before its
 * first instruction. On return its program runs, or has ended.
 * @returns The process, a child of belay's.
 * @throws CommandError in runc's words; then nothing of it is left.
 */
export async function execProcess(
  carriers: Carriers,
  container: RunningContainer,
  request: ExecRequest,
): Promise<Pidfd> {
  const { thread } = carriers;
  const { dir, state, init } = container;
  const { process, preserveFds, terminal } = request;
  const privileged = (thread.call(capget()).effective & CAP_SYS_ADMIN) !== 0n;
  const ownUser = (state.join.namespaces & CLONE.CLONE_NEWUSER) !== 0;
  if (!ownUser) checkCapabilities(thread, process.capabilities);
  const labels = hasLabels(process) ? await import("../security/labels.ts") : undefined;
  labels?.checkLabels(thread, process);
  const cgroupsAsked = request.cgroups.length > 0;
  const cgroups = cgroupsAsked
    ? await cgroupsBelow(thread, state.cgroups, request.cgroups)
    : state.cgroups;
  const hostRoot = privileged && !inUserNamespace(thread);
  const joining = { init, state, cgroups, cgroupsAsked, process, preserveFds, hostRoot };
  const { stub, steps, outer } = await joinContainer(carriers, joining);
  try {
    becomeInit(steps, state.id, {
      newKeyring: state.join.newKeyring,
      ownUserNamespace: ownUser,
    });
    if (state.join.foreignRoot) post(steps, [chdir(dir.foreignRoot), chroot("."), chdir("/")]);
    labels?.labelProcess(steps, process);
    const root = AT_FDCWD; // whoever enters a mount namespace stands at its root
    const { uid } = process.user;
    const env = withHome(steps, root, [...process.env, ...request.extraEnv], uid);
    if (process.terminal) {
      steps.flush();
      terminal.make(stub, root, process, false);
    } else adaptStdio(steps, root, lookAtStdio(thread, uid), uid);
    if (state.personality !== undefined) takePersonality(steps, state.personality);
    const filtered = state.seccomp !== undefined;
    const program = await becomeProcess(steps, thread, { ...process, env }, {
      mayGroup: privileged && allowsSetgroups(thread),
      filtered,
    });
    letGo(outer); // as a zombie it would count against pids.max
    request.born(stub.pidfd);
    const rlimits = storedLimits(process.rlimits);
    try {
      await becomeProgram(carriers, stub, { ...program, rlimits, preserveFds }, {
        ...{ dir, state, status: "running" },
      });
    } catch (error) {
      if (!(error instanceof StubGone) || !request.signalled) throw error;
    }
    return stub.pidfd;
  } catch (error) {
    endStub(outer);
    endStub(stub);
    throw explained(thread, init, error);
  }
}

/** Few ask for it: what does it is loaded then. @throws CommandError naming --cgroup. */
async function cgroupsBelow(
  thread: Kernel,
  directories: StateFile["cgroups"],
  given: readonly string[],
): Promise<StateFile["cgroups"]> {
  const { checkSubCgroups, subCgroups } = await import("../cgroup/sub_cgroups.ts");
  const chosen = subCgroups(directories, given);
  checkSubCgroups(thread, chosen);
  return chosen;
}
