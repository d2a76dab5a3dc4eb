import type { Kernel } from "../../ffi/kernel.ts";
import type { Call } from "../../ffi/call.ts";
import { post } from "../../ffi/deferring.ts";
import {
  IOPRIO_CLASS,
  ioprio_set,
  SCHED,
  SCHED_FLAG,
  sched_setaffinity,
  sched_setattr,
} from "../../ffi/syscalls/scheduling.ts";
import { CommandError } from "../cli/command_error.ts";
import type { Process } from "../spec/types.ts";

/**
 * `process.scheduler` and `process.ioPriority`, of a process that still has the rights of its beginning: it comes
 * before its credentials.
 * @throws CommandError naming the field, now or when the kernel is asked next.
 */
export function schedule(
  kernel: Kernel,
  { scheduler, ioPriority }: Pick<Process, "scheduler" | "ioPriority">,
): void {
  if (scheduler !== undefined) {
    const { policy, flags, nice, priority, runtime, deadline, period } = scheduler;
    const set = sched_setattr({
      policy: SCHED[policy],
      flags: flags.reduce((sum, name) => sum | SCHED_FLAG[name], 0),
      ...{ nice, priority, runtime, deadline, period },
    });
    const rights = policy === "SCHED_FIFO" || policy === "SCHED_RR"
      ? "CAP_SYS_NICE on the host, and linux.resources.cpu.realtimeRuntime where cgroups share real time out"
      : "CAP_SYS_NICE on the host";
    one(kernel, set, `process.scheduler: ${policy} cannot be had`, rights);
  }
  if (ioPriority !== undefined) {
    const { class: name, priority } = ioPriority;
    const set = ioprio_set(IOPRIO_CLASS[name], priority);
    one(
      kernel,
      set,
      `process.ioPriority: ${name} cannot be had`,
      "CAP_SYS_NICE or CAP_SYS_ADMIN on the host",
    );
  }
}

function one(kernel: Kernel, made: Call<void>, problem: string, rights: string): void {
  post(kernel, [made], (cause) => {
    const why = cause.is("EPERM") ? `; it takes ${rights}` : "";
    throw new CommandError(problem + why, { cause });
  });
}

/**
 * One half of `process.execCPUAffinity`: the processors that a process may run on from here on.
 * @param which `initial` or `final`, for the error.
 * @throws CommandError naming the field.
 */
export function setAffinity(kernel: Kernel, which: "initial" | "final", list: string): void {
  const field = `process.execCPUAffinity.${which}`;
  post(kernel, [sched_setaffinity(cpuMask(list))], (cause) => {
    throw new CommandError(`${field}: ${list} cannot be had`, { cause });
  });
}

/** `0-3,7` as bits, in whole words of the kernel. */
function cpuMask(list: string): Uint8Array {
  const cpus = list.split(",").flatMap((range) => {
    const [first = 0, last = first] = range.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
  const mask = new Uint8Array((Math.max(...cpus) >> 6) * 8 + 8);
  for (const cpu of cpus) mask[cpu >> 3] = (mask[cpu >> 3] ?? 0) | (1 << (cpu & 7));
  return mask;
}
