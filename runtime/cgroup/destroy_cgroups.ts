import type { Kernel } from "../../ffi/kernel.ts";
import { AT, AT_FDCWD } from "../../ffi/abi/file_flags.ts";
import { attempt } from "../../ffi/call.ts";
import { isSyscallError, type SyscallError } from "../../ffi/syscall_error.ts";
import { sleep } from "../../ffi/syscalls/event.ts";
import { faccessat2, unlinkat } from "../../ffi/syscalls/file.ts";
import { CgroupError } from "./cgroup_error.ts";
import { listProcesses, subCgroups } from "./processes.ts";

/** What the journal keeps of a directory before it is made. */
export interface CgroupEntry {
  readonly kind: "cgroup";
  readonly path: string;
  /** A directory on the way to the container's: it goes only when nothing else is in it. */
  readonly shared?: true;
}

/** How long the kernel may need until killed processes have left their cgroup. */
const PATIENCE_MS = 5000;
const LONGEST_PAUSE_MS = 10;

/**
 * Removes cgroups with all that are below them, those deepest in the tree first. One that is gone already is
 * success, so it may be asked again. Every one is tried, whatever fails before.
 *
 * It kills nobody: an entry says only that somebody meant to make the directory, not that what is in it is the
 * container's. That is what `signalCgroup` is for, with the directories of a container that was made.
 *
 * @param patienceMs How long to wait for processes that are ending.
 * @throws {CgroupError} names those that remain, and the processes in them.
 */
export function destroyCgroups(
  kernel: Kernel,
  entries: readonly Pick<CgroupEntry, "path" | "shared">[],
  patienceMs = PATIENCE_MS,
): void {
  const own = unique(entries.filter(({ shared }) => !shared));
  // Usually each is empty, and one call does it.
  const results = kernel.batch(own.map(({ path }) => attempt(rmdir(path))));
  const errors: Error[] = [];
  let patience = patienceMs;
  own.forEach(({ path }, index) => {
    if (!isSyscallError(results[index]) || results[index].is("ENOENT")) return;
    try {
      removeAll(kernel, path, patience);
    } catch (error) {
      patience = 0; // the same processes are in the other hierarchies: they have had their time
      errors.push(asCgroupError(path, error));
    }
  });
  for (const { path } of unique(entries.filter((entry) => entry.shared)).sort(deepestFirst)) {
    const result = kernel.call(attempt(rmdir(path)));
    // Busy: other containers have joined ours in it, and the last does not know that we made it.
    if (!isSyscallError(result) || result.is("ENOENT", "EBUSY", "ENOTEMPTY")) continue;
    try {
      retry(kernel, path, result);
    } catch (error) {
      errors.push(asCgroupError(path, error));
    }
  }
  const failure = CgroupError.of(errors);
  if (failure !== undefined) throw failure;
}

function rmdir(path: string) {
  return unlinkat(AT_FDCWD, path, AT.AT_REMOVEDIR);
}

/** An entry may be in a journal twice: making was tried again. */
function unique<E extends { path: string }>(entries: readonly E[]): E[] {
  return [...new Map(entries.map((entry) => [entry.path, entry])).values()];
}

function deepestFirst(a: { path: string }, b: { path: string }): number {
  return b.path.split("/").length - a.path.split("/").length;
}

/**
 * The kernel says EBUSY while there are processes or cgroups inside. A killed process leaves its cgroup some way
 * into its exit, and v1 tells nobody when: ask again after a short sleep, which doubles.
 */
function removeAll(kernel: Kernel, path: string, patienceMs: number): void {
  for (
    let slept = 0, pause = 0.25;;
    slept += pause, pause = Math.min(pause * 2, LONGEST_PAUSE_MS)
  ) {
    const inside = subCgroups(kernel, path).reverse();
    const last = [...inside, path].map((each) => kernel.call(attempt(rmdir(each)))).at(-1);
    if (!isSyscallError(last) || last.is("ENOENT")) return;
    if (!last.is("EBUSY", "ENOTEMPTY")) return retry(kernel, path, last);
    if (slept > patienceMs) throw remains(kernel, path, last);
    kernel.call(sleep(pause));
  }
}

/** On a read-only mount rmdir(2) says EROFS also for what is not there (mnt_want_write() comes first). */
function retry(kernel: Kernel, path: string, error: SyscallError): void {
  const there = kernel.call(attempt(faccessat2(AT_FDCWD, path, 0)));
  if (isSyscallError(there, "ENOENT")) return;
  const again = kernel.call(attempt(rmdir(path)));
  if (isSyscallError(again) && !again.is("ENOENT")) throw remains(kernel, path, error);
}

function asCgroupError(path: string, error: unknown): CgroupError {
  if (error instanceof CgroupError) return error;
  return new CgroupError(`cannot remove cgroup ${path}`, { cause: error });
}

function remains(kernel: Kernel, path: string, cause: SyscallError): CgroupError {
  const pids = listProcesses(kernel, path);
  const why = pids.length > 0
    ? `it still has ${pids.length === 1 ? "process" : "processes"} ${pids.join(", ")}`
    : cause.message;
  return new CgroupError(`cannot remove cgroup ${path}: ${why}`, { cause });
}
