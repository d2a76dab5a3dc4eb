import type { Kernel } from "../../ffi/kernel.ts";
import { AT_FDCWD } from "../../ffi/abi/file_flags.ts";
import { attempt, Call, tolerate } from "../../ffi/call.ts";
import { isSyscallError, type SyscallError } from "../../ffi/syscall_error.ts";
import { faccessat2, mkdirat } from "../../ffi/syscalls/file.ts";
import { isHostRoot } from "../security/user_namespace.ts";
import { CgroupError } from "./cgroup_error.ts";
import type { CgroupPlan, PlannedDirectory } from "./cgroup_plan.ts";
import type { CgroupEntry } from "./destroy_cgroups.ts";
import { freezerState } from "./freezer.ts";
import { listProcesses } from "./processes.ts";

/** Remembers what is about to be made, so that it is removed whatever becomes of belay. */
export interface CgroupJournal {
  /** Returns when the entries are safe. They are in the order of making; the last is to be removed first. */
  record(entries: readonly CgroupEntry[]): void;
}

/**
 * Whether a container that needs no cgroup may go without where belay may not make one: always, never, or (`auto`)
 * when belay is not the machine's root, or the mounts are read-only. runc's `--rootless`.
 */
export type Forgiving = "true" | "false" | "auto";

/** Others may remove a directory on the way, which is empty to them, between our look at it and our mkdir. */
const ATTEMPTS = 5;

/**
 * Makes a container's directories, with those on the way to them, after they were journalled.
 *
 * A directory that is there already is used if it has no process and is not frozen, and is the container's from
 * then on, as with runc. The journal has it then; `destroyCgroups` does no harm to it should it belong to others.
 *
 * @param occupant Who may be in one: a process of the container's that systemd has put there.
 * @returns Those that are there now: all, but for a container that can do without and a belay that may not.
 * @throws {CgroupError}
 */
export function makeDirectories(
  kernel: Kernel,
  plan: CgroupPlan,
  journal: CgroupJournal,
  forgiving: Forgiving,
  occupant?: number,
): PlannedDirectory[] {
  const { directories } = plan;
  const [first] = directories;
  // A cgroup in use is refused before anything is journalled. Looking at one hierarchy is enough for that: the
  // others are looked at when mkdir finds them there.
  if (first !== undefined && exists(kernel, first.path)) assertVacant(kernel, first, occupant);
  const made = new Set<PlannedDirectory>();
  let missing = directories;
  for (let i = 0; missing.length > 0; i++) {
    const parents = missing.flatMap((directory) => missingParents(kernel, directory));
    journal.record([
      ...parents.map((path) => ({ kind: "cgroup" as const, path, shared: true as const })),
      ...missing.map(({ path }) => ({ kind: "cgroup" as const, path })),
    ]);
    for (const path of parents) kernel.call(attempt(mkdirat(AT_FDCWD, path, 0o755)));
    const results = kernel.batch(
      missing.map(({ path }) => attempt(mkdirat(AT_FDCWD, path, 0o755))),
    );
    missing = missing.filter((directory, index) => {
      const result = results[index];
      if (isSyscallError(result, "ENOENT") && i < ATTEMPTS) return true;
      if (isSyscallError(result, "EEXIST")) assertVacant(kernel, directory, occupant);
      else if (isSyscallError(result)) {
        assertDispensable(kernel, plan, directory, result, forgiving);
        return false;
      }
      made.add(directory);
      return false;
    });
  }
  return directories.filter((directory) => made.has(directory));
}

/** The directories between the one that is there for certain and the container's, top down. */
function missingParents(kernel: Kernel, { base, path }: PlannedDirectory): string[] {
  const parents: string[] = [];
  for (let at = path.lastIndexOf("/"); at > base.length; at = path.lastIndexOf("/", at - 1)) {
    const parent = path.slice(0, at);
    if (exists(kernel, parent)) break;
    parents.unshift(parent);
  }
  return parents;
}

function exists(kernel: Kernel, path: string): boolean {
  const { name, args } = faccessat2(AT_FDCWD, path, 0);
  const looked = new Call(name, args, () => true);
  // Tolerated and not attempted: the first Error of a program costs milliseconds, and this is the usual answer.
  return kernel.call(tolerate(looked, ["ENOENT"], "it is not there")) ?? false;
}

/** @throws {CgroupError} for a cgroup that somebody uses, or in which a process would stop as it enters. */
function assertVacant(
  kernel: Kernel,
  directory: PlannedDirectory,
  occupant: number | undefined,
): void {
  const pids = listProcesses(kernel, directory.path).filter((pid) => pid !== occupant);
  if (pids.length > 0) {
    throw new CgroupError(
      `linux.cgroupsPath: cgroup ${directory.path} is in use by ` +
        `${pids.length === 1 ? "process" : "processes"} ${pids.join(", ")}`,
    );
  }
  if (freezerState(kernel, [directory]) === "frozen") {
    throw new CgroupError(`linux.cgroupsPath: cgroup ${directory.path} is frozen`);
  }
}

/** @throws {CgroupError} when the container cannot do without the directory, or belay should have made it. */
function assertDispensable(
  kernel: Kernel,
  { needed }: CgroupPlan,
  { path }: PlannedDirectory,
  cause: SyscallError,
  forgiving: Forgiving,
): void {
  const forbidden = cause.is("EROFS") ||
    (cause.is("EACCES", "EPERM") && (forgiving === "true" || !isHostRoot(kernel)));
  if (forbidden && needed === undefined && forgiving !== "false") return;
  const remedy = forbidden ? `; ${needed} needs it, a container without limits does not` : "";
  throw new CgroupError(`cannot make cgroup ${path}${remedy}`, { cause });
}
