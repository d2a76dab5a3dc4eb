/**
 * Who gets the processor, and the disk (linux/sched.h, uapi/linux/sched/types.h, linux/ioprio.h).
 *
 * @module
 */
import { type Call, effect, Struct } from "../call.ts";
import { flags, named } from "../show.ts";

/** Scheduling policies. */
export const SCHED = {
  SCHED_OTHER: 0,
  SCHED_FIFO: 1,
  SCHED_RR: 2,
  SCHED_BATCH: 3,
  SCHED_ISO: 4,
  SCHED_IDLE: 5,
  SCHED_DEADLINE: 6,
} as const;

/** Flags of sched_setattr(2). */
export const SCHED_FLAG = {
  SCHED_FLAG_RESET_ON_FORK: 0x01,
  SCHED_FLAG_RECLAIM: 0x02,
  SCHED_FLAG_DL_OVERRUN: 0x04,
  SCHED_FLAG_KEEP_POLICY: 0x08,
  SCHED_FLAG_KEEP_PARAMS: 0x10,
  SCHED_FLAG_UTIL_CLAMP_MIN: 0x20,
  SCHED_FLAG_UTIL_CLAMP_MAX: 0x40,
} as const;

/** What sched_setattr(2) is told; times in nanoseconds. */
export interface SchedAttr {
  readonly policy: number;
  readonly flags: number;
  readonly nice: number;
  readonly priority: number;
  readonly runtime: number;
  readonly deadline: number;
  readonly period: number;
}

/** struct sched_attr up to its utilization clamps, which are 0. */
const SCHED_ATTR_SIZE = 56;

/**
 * sched_setattr(2) on the calling thread, kernel 3.14. EPERM: CAP_SYS_NICE on the host, or RLIMIT_RTPRIO; EINVAL: a
 * policy or flag that the kernel does not have, or a priority that does not fit; EBUSY: no room for the deadline.
 */
export function sched_setattr(attr: SchedAttr): Call<void> {
  const { policy, nice, priority, runtime, deadline, period } = attr;
  const policyText = named(policy, SCHED).text();
  const flagText = flags(attr.flags, SCHED_FLAG).text();
  const struct = new Struct(
    SCHED_ATTR_SIZE,
    [
      [0, 4, SCHED_ATTR_SIZE],
      [4, 4, policy],
      [8, 8, attr.flags],
      [16, 4, nice],
      [20, 4, priority],
      [24, 8, runtime],
      [32, 8, deadline],
      [40, 8, period],
    ],
    false,
    () =>
      `{${policyText}, ${flagText}, nice ${nice}, priority ${priority}, ${runtime}/${deadline}/${period} ns}`,
  );
  return effect("sched_setattr", 0, struct, 0);
}

/** Classes of ioprio_set(2). */
export const IOPRIO_CLASS = {
  IOPRIO_CLASS_RT: 1,
  IOPRIO_CLASS_BE: 2,
  IOPRIO_CLASS_IDLE: 3,
} as const;

const IOPRIO_WHO_PROCESS = 1;
const IOPRIO_CLASS_SHIFT = 13;

/** ioprio_set(2) on the calling thread. EPERM: the class IOPRIO_CLASS_RT needs CAP_SYS_ADMIN or CAP_SYS_NICE. */
export function ioprio_set(ioClass: number, priority: number): Call<void> {
  const who = named(IOPRIO_WHO_PROCESS, { IOPRIO_WHO_PROCESS });
  return effect("ioprio_set", who, 0, (ioClass << IOPRIO_CLASS_SHIFT) | priority);
}

/**
 * sched_setaffinity(2) on the calling thread: which processors it may run on. EINVAL: none of them is there, and in
 * the cpuset.
 * @param mask One bit for each processor, from the lowest of the first byte on.
 */
export function sched_setaffinity(mask: Uint8Array): Call<void> {
  return effect("sched_setaffinity", 0, mask.length, mask);
}
