import type { Kernel } from "../../ffi/kernel.ts";
import { AT_FDCWD } from "../../ffi/abi/file_flags.ts";
import { attempt } from "../../ffi/call.ts";
import { faccessat2 } from "../../ffi/syscalls/file.ts";
import { CommandError } from "../cli/command_error.ts";
import type { CgroupDirectory } from "./cgroup_plan.ts";

/** faccessat2(2): is anything there? */
const F_OK = 0;

/**
 * The cgroups of a process that `exec --cgroup` puts below those of its container: `PATH` in every hierarchy, or
 * `CONTROLLER[,CONTROLLER...]:PATH`, repeated, in some of cgroup v1. The form is runc's; unlike there, controllers that
 * are mounted together cannot be sent to different places, and no path leads to a neighbour whose name begins alike.
 * @throws CommandError for what is not in that form, or leads out of the container's cgroups.
 */
export function subCgroups(
  directories: readonly CgroupDirectory[],
  given: readonly string[],
): CgroupDirectory[] {
  if (given.length > 0 && directories.length === 0) {
    throw new CommandError("--cgroup: the container has no cgroups");
  }
  const chosen = new Map<CgroupDirectory, string>();
  for (const text of given) {
    const [first = "", second, ...rest] = text.split(":");
    if (rest.length > 0) throw wrong(text, "is not [CONTROLLER[,CONTROLLER...]:]PATH");
    if (second === undefined && given.length > 1) {
      throw wrong(text, "names no controller: a path for all of them must be the only one");
    }
    const path = second ?? first;
    const controllers = second === undefined ? [] : first.split(",");
    const where = controllers.length === 0
      ? directories
      : controllers.map((controller) => hierarchyOf(directories, controller, text));
    for (const directory of where) {
      const below = `${directory.path}${pathBelow(path, text)}`;
      if ((chosen.get(directory) ?? below) !== below) {
        const together = directory.controllers.join(",");
        throw wrong(text, `another --cgroup sends ${together}, mounted together, elsewhere`);
      }
      chosen.set(directory, below);
    }
  }
  return directories.map((directory) => ({
    ...directory,
    path: chosen.get(directory) ?? directory.path,
  }));
}

/** Looks whether the cgroups are there: `exec` makes none. @throws CommandError naming the first that is not. */
export function checkSubCgroups(kernel: Kernel, directories: readonly CgroupDirectory[]): void {
  const results = kernel.batch(
    directories.map(({ path }) => attempt(faccessat2(AT_FDCWD, path, F_OK, 0))),
  );
  results.forEach((result, i) => {
    if (!(result instanceof Error)) return;
    throw new CommandError(`--cgroup: cannot use the cgroup ${directories[i]?.path}`, {
      cause: result,
    });
  });
}

function hierarchyOf(
  directories: readonly CgroupDirectory[],
  controller: string,
  text: string,
): CgroupDirectory {
  const found = directories.find(({ version, controllers }) =>
    version === 1 && controllers.includes(controller)
  );
  if (found !== undefined) return found;
  const v1 = directories.filter(({ version }) => version === 1);
  const there = v1.flatMap(({ controllers }) => controllers).join(", ");
  throw wrong(
    text,
    v1.length === 0
      ? "names a controller; on cgroup v2 all are in one hierarchy, give the path alone"
      : `there is no controller ${JSON.stringify(controller)}, but ${there}`,
  );
}

/** The path from a cgroup on, "" for that one itself. */
function pathBelow(path: string, text: string): string {
  const below: string[] = [];
  for (const component of path.split("/")) {
    if (component === "" || component === ".") continue;
    if (component !== "..") below.push(component);
    else if (below.pop() === undefined) throw wrong(text, "is not a sub cgroup path");
  }
  return below.map((component) => `/${component}`).join("");
}

function wrong(text: string, problem: string): CommandError {
  return new CommandError(`--cgroup ${JSON.stringify(text)}: ${problem}`);
}
