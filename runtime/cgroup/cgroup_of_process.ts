import type { Kernel } from "../../ffi/kernel.ts";
import { AT_FDCWD } from "../../ffi/abi/file_flags.ts";
import { readFile } from "../../ffi/files.ts";
import { cgroupWorld } from "./cgroup_mounts.ts";

/**
 * The cgroup2 directory that a process is in, when it is below `directory`; undefined when it is that one, or anywhere
 * else. What `number` is, is the caller's to make sure: by a pidfd that is alive afterwards.
 * @throws SyscallError
 */
export function cgroupBelow(kernel: Kernel, directory: string, number: number): string | undefined {
  const { hierarchies } = cgroupWorld(
    readFile(kernel, AT_FDCWD, "/proc/self/mountinfo"),
    readFile(kernel, AT_FDCWD, `/proc/${number}/cgroup`),
    () => [],
  );
  const own = hierarchies.find(({ version }) => version === 2)?.own;
  return own?.startsWith(`${directory}/`) ? own : undefined;
}
