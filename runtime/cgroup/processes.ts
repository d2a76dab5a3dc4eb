/**
 * The processes of a container's cgroups. A number read from cgroup.procs is never used as it is: it may have become
 * that of a stranger by the next line.
 *
 * @module
 */
import type { Kernel } from "../../ffi/kernel.ts";
import { AT_FDCWD } from "../../ffi/abi/file_flags.ts";
import { SIGNAL } from "../../ffi/abi/signals.ts";
import { readDirectory, readFile, writeFile } from "../../ffi/files.ts";
import { Pidfd } from "../../ffi/pidfd.ts";
import { isSyscallError } from "../../ffi/syscall_error.ts";
import { sleep } from "../../ffi/syscalls/event.ts";
import { CgroupError } from "./cgroup_error.ts";
import type { CgroupDirectory } from "./cgroup_plan.ts";
import { freezerOf, freezerState, setFrozen } from "./freezer.ts";

/** getdents64(2)'s DT_DIR. */
const DT_DIR = 4;

/** Processes that are held at a time while they are signalled. */
const HELD_AT_ONCE = 256;

/** How long a container that cannot be frozen may outrun its killing. */
const CHASE_MS = 2000;

/** Directories below a cgroup, each before those below it; none when it is gone. @throws SyscallError */
export function subCgroups(kernel: Kernel, path: string): string[] {
  const entries = unlessGone(() => readDirectory(kernel, AT_FDCWD, path)) ?? [];
  return entries.filter(({ type }) => type === DT_DIR).flatMap(({ name }) => {
    const below = `${path}/${name}`;
    return [below, ...subCgroups(kernel, below)];
  });
}

/**
 * The numbers of the processes in a cgroup and in all below it, labels for people. 0 is a process of a foreign pid
 * namespace. Empty when the cgroup is gone.
 * @throws SyscallError
 */
export function listProcesses(kernel: Kernel, path: string): number[] {
  return [path, ...subCgroups(kernel, path)].flatMap((directory) => {
    const text = unlessGone(() => readFile(kernel, AT_FDCWD, `${directory}/cgroup.procs`)) ?? "";
    return text.split("\n").filter((line) => line !== "").map(Number);
  });
}

/**
 * Signals every process of a container, also those that it makes meanwhile. SIGKILL works on a paused container,
 * too; it is thawed, because a frozen process of cgroup v1 cannot die. Returns when the signals are sent, not when
 * the processes have ended. None left is success.
 *
 * @returns How many processes were found.
 * @throws {CgroupError} when a process could not be signalled; all others were.
 */
export function signalCgroup(
  kernel: Kernel,
  directories: readonly CgroupDirectory[],
  signal: number,
): number {
  const directory = freezerOf(directories) ?? directories[0];
  if (directory === undefined) return 0;
  const { path } = directory;
  const kill = signal === SIGNAL.SIGKILL;
  const found = kill ? killAtOnce(kernel, directories) : undefined;
  if (found !== undefined) {
    setFrozen(kernel, directories, false);
    chase(kernel, path); // beside v1 hierarchies a process may have left cgroup2 alone
    return found;
  }
  if (!kill && freezerState(kernel, directories) === "frozen") {
    return signalOnce(kernel, path, signal);
  }
  // In a frozen container no process appears and none ends.
  const frozen = setFrozen(kernel, directories, true);
  let signalled;
  try {
    signalled = signalOnce(kernel, path, signal);
  } finally {
    setFrozen(kernel, directories, false);
  }
  if (kill && !frozen) chase(kernel, path);
  return signalled;
}

/**
 * cgroup.kill (cgroup-v2.rst, kernel 5.14): the kernel kills all that is there and all that comes meanwhile.
 * Undefined where it cannot: no cgroup2 or an older kernel.
 */
function killAtOnce(kernel: Kernel, directories: readonly CgroupDirectory[]): number | undefined {
  const unified = directories.find(({ version }) => version === 2);
  if (unified === undefined) return undefined;
  const found = listProcesses(kernel, unified.path).length;
  return unlessGone(() => {
    writeFile(kernel, AT_FDCWD, `${unified.path}/cgroup.kill`, "1");
    return found;
  });
}

/** Kills what is still listed until nothing new is: whoever has been killed needs a moment to be gone. */
function chase(kernel: Kernel, path: string): void {
  const seen = new Set<number>();
  for (let slept = 0, pause = 0.25; slept < CHASE_MS; slept += pause, pause *= 2) {
    const pids = listProcesses(kernel, path);
    if (pids.every((pid) => seen.has(pid))) return;
    for (const pid of pids) seen.add(pid);
    signalOnce(kernel, path, SIGNAL.SIGKILL);
    kernel.call(sleep(pause));
  }
}

function signalOnce(kernel: Kernel, path: string, signal: number): number {
  const pids = listProcesses(kernel, path);
  const errors: Error[] = [];
  for (let at = 0; at < pids.length; at += HELD_AT_ONCE) {
    errors.push(...signalHeld(kernel, path, pids.slice(at, at + HELD_AT_ONCE), signal));
  }
  const failure = CgroupError.of(errors);
  if (failure !== undefined) throw failure;
  return pids.length;
}

/**
 * Holds the processes, then asks for the list again: a held process whose number is still listed is one of the
 * cgroup, or it has ended and the signal goes nowhere. A stranger that got the number before we held it is not
 * listed, and while it lives nobody else can have its number.
 */
function signalHeld(
  kernel: Kernel,
  path: string,
  pids: readonly number[],
  signal: number,
): CgroupError[] {
  const errors: CgroupError[] = [];
  const held: Pidfd[] = [];
  try {
    for (const pid of pids) {
      try {
        held.push(Pidfd.open(kernel, pid));
      } catch (error) {
        if (isSyscallError(error, "ESRCH")) continue; // it has ended
        errors.push(failed(path, pid, error));
      }
    }
    const listed = new Set(listProcesses(kernel, path));
    for (const process of held) {
      if (!listed.has(process.pid)) continue;
      try {
        process.signal(signal);
      } catch (error) {
        errors.push(failed(path, process.pid, error)); // the others get theirs in any case
      }
    }
  } finally {
    for (const process of held) process[Symbol.dispose]();
  }
  return errors;
}

function failed(path: string, pid: number, cause: unknown): CgroupError {
  const process = pid === 0 ? "a process of another pid namespace" : `process ${pid}`;
  return new CgroupError(`cannot signal ${process} of ${path}`, { cause });
}

/**
 * Undefined when the cgroup was removed: ENOENT before the file was opened, ENODEV after. EOPNOTSUPP is for
 * cgroup.procs of a threaded cgroup, whose processes are listed further up.
 */
function unlessGone<T>(step: () => T): T | undefined {
  try {
    return step();
  } catch (error) {
    if (isSyscallError(error, "ENOENT", "ENODEV", "EOPNOTSUPP")) return undefined;
    throw error;
  }
}
