import type { Kernel } from "./kernel.ts";
import type { Pidfd } from "./pidfd.ts";
import { readFile } from "./files.ts";
import { isSyscallError } from "./syscall_error.ts";
import { AT_FDCWD } from "./abi/file_flags.ts";

/** include/linux/sched.h */
const PF_EXITING = 0x4;

/**
 * Whether a process has ended, or is on its way out, from which none comes back. The first process of a pid namespace
 * has given up its namespaces and its cgroups when it still waits until all others there are reaped
 * (zap_pid_ns_processes() in kernel/pid_namespace.c); its pidfd tells nobody before that.
 */
export function isExiting(kernel: Kernel, process: Pidfd): boolean {
  const flags = flagsOf(kernel, process.pid);
  // Asked after the number was used: who has not been reaped by now had it then.
  return !process.alive() || (flags & PF_EXITING) !== 0;
}

/** Field 9 of /proc/PID/stat (proc_pid_stat(5)), the kernel's PF_*; none when there is no such process. */
function flagsOf(kernel: Kernel, pid: number): number {
  try {
    const stat = readFile(kernel, AT_FDCWD, `/proc/${pid}/stat`);
    const [state, , , , , , flags] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    // Its first thread has ended; others go on.
    return state === "Z" ? 0 : Number(flags);
  } catch (error) {
    if (isSyscallError(error, "ENOENT", "ESRCH")) return 0; // gone before, or while it was read
    throw error;
  }
}
