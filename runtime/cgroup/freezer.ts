import type { Kernel } from "../../ffi/kernel.ts";
import { AT_FDCWD } from "../../ffi/abi/file_flags.ts";
import { readFile, writeFile } from "../../ffi/files.ts";
import { isSyscallError } from "../../ffi/syscall_error.ts";
import { sleep } from "../../ffi/syscalls/event.ts";
import { CgroupError } from "./cgroup_error.ts";
import type { CgroupDirectory } from "./cgroup_plan.ts";

/** How long a cgroup may take to freeze: a process in uninterruptible sleep (D) holds it up. */
const FREEZE_MS = 500;
const POLL_MS = 0.25;
/** The same for somebody who asked for nothing else. */
const PAUSE_MS = 2000;

/** The container's directory that freezes it: that of the v1 freezer, else the one on cgroup v2. */
export function freezerOf(
  directories: readonly CgroupDirectory[],
): CgroupDirectory | undefined {
  return directories.find(({ controllers }) => controllers.includes("freezer")) ??
    directories.find(({ version }) => version === 2);
}

/**
 * Whether somebody has frozen the container, which `state` calls paused. A container that is frozen only because
 * its parent is is not meant; one without a freezer, or that is gone, is not frozen.
 * Sources: cgroup-v1/freezer-subsystem.rst, cgroup-v2.rst (cgroup.freeze).
 * @throws SyscallError
 */
export function freezerState(
  kernel: Kernel,
  directories: readonly CgroupDirectory[],
): "frozen" | "thawed" {
  const directory = freezerOf(directories);
  if (directory === undefined) return "thawed";
  const file = directory.version === 1 ? "freezer.self_freezing" : "cgroup.freeze";
  return read(kernel, directory, file) === "1" ? "frozen" : "thawed";
}

/**
 * Freezes or thaws the container.
 * @returns Whether all of it was reached: false when it has no freezer, is gone, or does not freeze in time.
 * @throws SyscallError
 */
export function setFrozen(
  kernel: Kernel,
  directories: readonly CgroupDirectory[],
  frozen: boolean,
  patienceMs = FREEZE_MS,
): boolean {
  const directory = freezerOf(directories);
  if (directory === undefined) return false;
  const [file, value] = directory.version === 1
    ? ["freezer.state", frozen ? "FROZEN" : "THAWED"] as const
    : ["cgroup.freeze", frozen ? "1" : "0"] as const;
  if (!write(kernel, directory, file, value)) return false;
  for (let slept = 0; frozen && !isFrozen(kernel, directory); slept += POLL_MS) {
    if (slept >= patienceMs) return false;
    kernel.call(sleep(POLL_MS));
    // On v1 processes that are made meanwhile may escape the first attempt; writing again takes them, too.
    if (directory.version === 1) write(kernel, directory, file, value);
  }
  return true;
}

/**
 * Pauses the container: when this returns, nothing in it runs, however fast it makes processes. Else it is thawed
 * again, so that nobody finds it half frozen.
 * @throws {CgroupError}
 */
export function pause(kernel: Kernel, directories: readonly CgroupDirectory[]): void {
  const { path } = expectFreezer(directories);
  let paused = false;
  try {
    paused = setFrozen(kernel, directories, true, PAUSE_MS);
  } finally {
    if (!paused) setFrozen(kernel, directories, false);
  }
  if (paused) return;
  throw new CgroupError(
    `cannot freeze ${path}: a process in it does not stop (in uninterruptible sleep?), ` +
      "or the cgroup is gone; it runs on",
  );
}

/** Lets a paused container go on. @throws {CgroupError} */
export function resume(kernel: Kernel, directories: readonly CgroupDirectory[]): void {
  const { path } = expectFreezer(directories);
  if (!setFrozen(kernel, directories, false)) {
    throw new CgroupError(`cannot thaw ${path}: it is gone`);
  }
}

function expectFreezer(directories: readonly CgroupDirectory[]): CgroupDirectory {
  const directory = freezerOf(directories);
  if (directory !== undefined) return directory;
  throw new CgroupError("the container has no cgroup with a freezer");
}

function isFrozen(kernel: Kernel, directory: CgroupDirectory): boolean {
  if (directory.version === 1) return read(kernel, directory, "freezer.state") !== "FREEZING";
  const events = read(kernel, directory, "cgroup.events");
  return events === undefined || /^frozen 1$/m.test(events);
}

function read(kernel: Kernel, { path }: CgroupDirectory, file: string): string | undefined {
  try {
    return readFile(kernel, AT_FDCWD, `${path}/${file}`).trim();
  } catch (error) {
    if (isSyscallError(error, "ENOENT", "ENODEV")) return undefined; // removed, or older than the file
    throw error;
  }
}

function write(kernel: Kernel, { path }: CgroupDirectory, file: string, value: string): boolean {
  try {
    writeFile(kernel, AT_FDCWD, `${path}/${file}`, value);
    return true;
  } catch (error) {
    if (isSyscallError(error, "ENOENT", "ENODEV")) return false; // removed, or older than the file
    throw error;
  }
}
