import type { Kernel } from "../../ffi/kernel.ts";
import { AT_FDCWD } from "../../ffi/abi/file_flags.ts";
import { readFile, writeFile } from "../../ffi/files.ts";

/** The two files of a v1 cpuset without which no process may enter (cgroup-v1/cpusets.rst). */
export const CPUSET_FILES = ["cpuset.cpus", "cpuset.mems"] as const;

/** One of them. */
export type CpusetFile = typeof CPUSET_FILES[number];

/**
 * Gives a v1 cpuset its parent's values where it has none, and those of the ancestors first where they have none,
 * either. A new cpuset has none, and with none a process that enters gets ENOSPC.
 *
 * @param mountPoint The hierarchy's top, which always has values.
 * @param files Those that nothing else sets.
 * @throws SyscallError
 */
export function inheritCpuset(
  kernel: Kernel,
  path: string,
  mountPoint: string,
  files: readonly CpusetFile[],
): void {
  for (const file of files) valueOf(kernel, path, mountPoint, file);
}

function valueOf(kernel: Kernel, path: string, mountPoint: string, file: CpusetFile): string {
  const own = readFile(kernel, AT_FDCWD, `${path}/${file}`).trim();
  if (own !== "" || path === mountPoint) return own;
  const parent = path.slice(0, path.lastIndexOf("/"));
  const inherited = valueOf(kernel, parent, mountPoint, file);
  writeFile(kernel, AT_FDCWD, `${path}/${file}`, inherited);
  return inherited;
}
