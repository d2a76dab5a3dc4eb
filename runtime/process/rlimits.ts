import type { Kernel } from "../../ffi/kernel.ts";
import type { Call } from "../../ffi/call.ts";
import { getrlimit, prlimit64 } from "../../ffi/syscalls/process.ts";
import { RLIMIT } from "../../ffi/abi/process_flags.ts";
import { SyscallError } from "../../ffi/syscall_error.ts";
import { CommandError } from "../cli/command_error.ts";

/** A limit by name, in the units of getrlimit(2). */
export type Limit = { readonly type: string; readonly soft: bigint; readonly hard: bigint };

function number(limit: Limit): number {
  return RLIMIT[limit.type as keyof typeof RLIMIT];
}

/**
 * Raises hard limits that are lower than wanted, in a process that may (before it enters a user namespace). Limits are
 * not lowered here: a small RLIMIT_NOFILE or RLIMIT_AS would hinder the set-up itself.
 * @throws CommandError naming the limit, where CAP_SYS_RESOURCE is missing.
 */
export function raiseLimits(kernel: Kernel, limits: readonly Limit[]): void {
  if (limits.length === 0) return;
  const present = kernel.batch(limits.map((limit) => getrlimit(number(limit))));
  limits.forEach((limit, i) => {
    const { soft = 0n, hard = 0n } = present[i] ?? {};
    if (limit.hard <= hard) return;
    try {
      kernel.call(prlimit64(number(limit), { soft, hard: limit.hard }));
    } catch (cause) {
      if (!(cause instanceof SyscallError)) throw cause;
      throw new CommandError(`error setting rlimits: process.rlimits[${i}] (${limit.type})`, {
        cause,
      });
    }
  });
}

/** Sets the limits as they are wanted; needs no privilege once the hard limits are high enough. */
export function setLimits(limits: readonly Limit[]): Call<void>[] {
  return limits.map((limit) => prlimit64(number(limit), { soft: limit.soft, hard: limit.hard }));
}
