import type { Kernel } from "./kernel.ts";
import type { Pidfd } from "./pidfd.ts";
import { Struct } from "./call.ts";
import type { ExitStatus } from "./syscalls/process.ts";
import { ioctl } from "./syscalls/file.ts";
import { named } from "./show.ts";
import { PIDFD, PIDFD_INFO } from "./abi/process_flags.ts";
import { isSyscallError } from "./syscall_error.ts";

/** struct pidfd_info (linux/pidfd.h) as of 6.18: the mask first, the wait status at 60; 80 bytes. */
export const PIDFD_INFO_LAYOUT = { mask: 0, exitCode: 60, size: 80 } as const;

/**
 * How a process ended that is not this one's child, by PIDFD_GET_INFO with PIDFD_INFO_EXIT (kernel 6.15). A parent
 * uses `Pidfd.reap()`.
 * @returns Undefined while it runs, while it is a zombie (its parent has not reaped it yet), and on older kernels.
 */
export function exitStatus(kernel: Kernel, pidfd: Pidfd): ExitStatus | undefined {
  const { mask, exitCode, size } = PIDFD_INFO_LAYOUT;
  const info = new Struct(size, [[mask, 8, PIDFD_INFO.PIDFD_INFO_EXIT]], true);
  try {
    kernel.call(ioctl(pidfd.fd, named(PIDFD.PIDFD_GET_INFO, PIDFD), info));
  } catch (error) {
    // ENOTTY, EINVAL: before 6.13. ESRCH: before 6.15 it is all that is said of a reaped process.
    if (isSyscallError(error, "ENOTTY", "EINVAL", "ESRCH")) return undefined;
    throw error;
  }
  if ((info.view().getBigUint64(mask, true) & BigInt(PIDFD_INFO.PIDFD_INFO_EXIT)) === 0n) {
    return undefined;
  }
  // As wait(2) codes it: the signal in the low seven bits, bit 7 for a core dump, the exit code above.
  const status = info.view().getInt32(exitCode, true);
  const signal = status & 0x7f;
  return signal === 0 ? { pid: pidfd.pid, code: (status >> 8) & 0xff } : { pid: pidfd.pid, signal };
}
