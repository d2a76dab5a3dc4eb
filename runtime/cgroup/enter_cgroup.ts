import type { Call } from "../../ffi/call.ts";
import { AT_FDCWD, O } from "../../ffi/abi/file_flags.ts";
import { close, openat, write } from "../../ffi/syscalls/file.ts";
import type { CgroupDirectory } from "./cgroup_plan.ts";

/**
 * The calls by which a process of one thread enters a container's v1 cgroups itself: "0" is whoever writes it, so no
 * number can be wrong. Into `tasks` and not `cgroup.procs`, because the kernel then need not stop all forks of the
 * machine for a moment, which takes milliseconds (it waits for an RCU grace period). Its children are born inside.
 */
export function enterCalls(directories: readonly CgroupDirectory[]): Call<unknown>[] {
  return directories.filter(({ version }) => version === 1).flatMap(({ path }) => {
    const opened = openat(AT_FDCWD, `${path}/tasks`, O.O_WRONLY);
    return [opened, write(opened, "0"), close(opened)];
  });
}

/**
 * Opens a container's cgroup2 directory, for whoever will clone with CLONE_INTO_CGROUP; undefined where there is none.
 * A process is never moved there, it is born there: entering later costs those milliseconds.
 */
export function intoCall(directories: readonly CgroupDirectory[]): Call<number> | undefined {
  const unified = directories.find(({ version }) => version === 2);
  return unified && openat(AT_FDCWD, unified.path, O.O_RDONLY | O.O_DIRECTORY);
}
