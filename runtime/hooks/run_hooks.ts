import type { Kernel } from "../../ffi/kernel.ts";
import type { Carriers, Remote } from "../../ffi/remote.ts";
import type { Pidfd } from "../../ffi/pidfd.ts";
import {
  close,
  close_range,
  dup3,
  lseek,
  memfd_create,
  read,
  write,
} from "../../ffi/syscalls/file.ts";
import { execve, type ExitStatus, getpid, prctl, waitid } from "../../ffi/syscalls/process.ts";
import { tolerate } from "../../ffi/call.ts";
import { CLOSE_RANGE_CLOEXEC, MFD } from "../../ffi/abi/file_flags.ts";
import { PR, WAIT } from "../../ffi/abi/process_flags.ts";
import { strerror } from "../../ffi/abi/errno.ts";
import { SIGNAL, signalName } from "../../ffi/abi/signals.ts";
import { SyscallError } from "../../ffi/syscall_error.ts";
import { CommandError } from "../cli/command_error.ts";
import { lastOfEach } from "../process/environment.ts";
import type { Hook, Hooks } from "../spec/types.ts";

/** What a hook reads on its standard input (runtime.md, "State"). */
export interface HookState {
  readonly ociVersion: string;
  readonly id: string;
  readonly status: "creating" | "created" | "running" | "stopped";
  /** The container's process as the hook sees it; absent once it is gone. */
  readonly pid?: number;
  readonly bundle: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** Of a hook's output, as much is quoted when it fails. */
const QUOTED_OUTPUT = 0x1000;
const SIGCHLD = 17;

/** Where hooks are run: a stub of the host's, or a child of the container's own stub. */
export interface HookPlace {
  /** The environment of a hook that names none. */
  env(): readonly string[];
  /** A fresh stub in those namespaces. */
  spawn(): Remote;
  /** @throws StubGone when the process whose child `spawn` makes has ended. */
  expectParent(): void;
  /** Reaps one that has ended. */
  reap(pidfd: Pidfd): ExitStatus;
}

/** Hooks in the runtime's namespaces, by default with belay's own environment (docs/decisions/0006-hooks.md). */
export function inRuntime(carriers: Carriers): HookPlace {
  return {
    env: () => Object.entries(Deno.env.toObject()).map(([name, value]) => `${name}=${value}`),
    spawn: () => carriers.spawn("hook"),
    expectParent: () => {}, // belay itself
    reap: (pidfd) => pidfd.reap(),
  };
}

/**
 * Hooks in the container's namespaces: children of its first process, which alone can reap them.
 * @param env That of the container's program: nothing of the host's gets in by default.
 */
export function inContainer(init: Remote, env: readonly string[]): HookPlace {
  return {
    env: () => env,
    spawn: () => init.clone("hook", { flags: 0, exitSignal: SIGCHLD }),
    expectParent: () => void init.call(getpid()),
    reap: (pidfd) => {
      const [there = -1] = init.give([pidfd.fd]);
      const [status] = init.batch([waitid(there, WAIT.WEXITED), close(there)]);
      if (status === undefined) throw new Error("waitid gave no status for a hook");
      return status;
    },
  };
}

/**
 * Runs the hooks of one kind, in order.
 * @param failed What to do about one that fails, so that the others still run.
 * @throws CommandError in runc's words, at the first that fails, when nothing is to be done about it.
 */
export function runHooks(
  kernel: Kernel,
  place: HookPlace,
  kind: keyof Hooks,
  hooks: readonly Hook[],
  state: HookState,
  failed?: (error: CommandError) => void,
): void {
  hooks.forEach((hook, index) => {
    try {
      runHook(kernel, place, hook, state);
    } catch (cause) {
      const error = new CommandError(`error running ${kind} hook #${index}`, { cause });
      if (failed === undefined) throw error;
      failed(error);
    }
  });
}

/**
 * Runs one hook. Its input and output are memfds and not pipes: nothing blocks on a hook that does not read, and
 * nothing waits for a grandchild that keeps the output open.
 */
function runHook(kernel: Kernel, place: HookPlace, hook: Hook, state: HookState): void {
  const input = kernel.call(memfd_create("hook-state", MFD.MFD_CLOEXEC));
  try {
    kernel.batch([write(input, JSON.stringify(state)), lseek(input, 0)]);
    const output = kernel.call(memfd_create("hook-output", MFD.MFD_CLOEXEC));
    try {
      check(kernel, runWith(place, hook, [input, output]), output);
    } finally {
      kernel.call(close(output));
    }
  } finally {
    kernel.call(close(input));
  }
}

/** Runs a hook to its end with these descriptors as input and output. */
function runWith(place: HookPlace, hook: Hook, stdio: readonly [number, number]): ExitStatus {
  using stub = place.spawn();
  using pidfd = stub.pidfd;
  const { timeout } = hook;
  let ended;
  let status;
  try {
    become(place, stub, hook, stdio);
    ended = pidfd.waitSync(timeout === undefined ? undefined : timeout * 1000);
    if (!ended) pidfd.signal(SIGNAL.SIGKILL);
    status = place.reap(pidfd);
  } catch (error) {
    end(place, stub);
    throw error;
  }
  if (!ended) throw new CommandError(`hook ran past specified timeout of ${timeout?.toFixed(1)}s`);
  return status;
}

/** Makes the stub the hook's program. */
function become(
  place: HookPlace,
  stub: Remote,
  hook: Hook,
  stdio: readonly [number, number],
): void {
  const [stdin = -1, stdout = -1] = stub.give(stdio);
  const env = lastOfEach(hook.env.length > 0 ? hook.env : place.env());
  // It ends with its parent: one that went on alone would meet the `delete --force` that comes next. A request of its
  // own: a parent that has died before it is seen now, and belay, if that is killed from here on, ends it.
  stub.call(prctl(PR.PR_SET_PDEATHSIG, SIGNAL.SIGKILL));
  place.expectParent();
  try {
    stub.exec([
      dup3(stdin, 0),
      dup3(stdout, 1),
      dup3(stdout, 2),
      tolerate(
        close_range(3, 0xffffffff, CLOSE_RANGE_CLOEXEC),
        ["ENOSYS", "EINVAL"],
        "before 5.9 or 5.11; every descriptor of ours is close-on-exec from birth",
      ),
      execve(hook.path, hook.args.length > 0 ? hook.args : [hook.path], env),
    ]);
  } catch (error) {
    if (!(error instanceof SyscallError) || error.syscall !== "execve") throw error;
    // Not as the cause: it shows the environment, belay's own for some hooks, and what is told ends in logs.
    throw new CommandError(`exec: ${JSON.stringify(hook.path)}: ${strerror(error.errno)}`);
  }
}

/** After a failure: whether it still is a stub or the hook already, it must not go on alone. */
function end(place: HookPlace, stub: Remote): void {
  try {
    stub[Symbol.dispose]();
    stub.pidfd.signal(SIGNAL.SIGKILL);
    place.reap(stub.pidfd);
  } catch {
    // The error that is told is the one that came first; a zombie at most stays, until its parent ends.
  }
}

function check(kernel: Kernel, status: ExitStatus, output: number): void {
  if (status.code === 0) return;
  const how = status.signal === undefined
    ? `exit status ${status.code}`
    : `signal: ${signalName(status.signal)}`;
  const [, bytes] = kernel.batch([lseek(output, 0), read(output, QUOTED_OUTPUT)]);
  throw new CommandError(`${how}, output: ${new TextDecoder().decode(bytes).trimEnd()}`);
}
