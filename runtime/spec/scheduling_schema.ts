import { integer, oneOf } from "./scalars.ts";
import { NUMBER_LIST } from "./resources_schema.ts";
import { array, checked, defaulted, object, optional, required } from "./schema.ts";
import { ValidationError } from "./validation_error.ts";

const POLICY = oneOf(
  ...["SCHED_OTHER", "SCHED_FIFO", "SCHED_RR", "SCHED_BATCH", "SCHED_ISO", "SCHED_IDLE"] as const,
  "SCHED_DEADLINE",
);

const FLAG = oneOf(
  ...["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM", "SCHED_FLAG_DL_OVERRUN"] as const,
  ...["SCHED_FLAG_KEEP_POLICY", "SCHED_FLAG_KEEP_PARAMS"] as const,
  ...["SCHED_FLAG_UTIL_CLAMP_MIN", "SCHED_FLAG_UTIL_CLAMP_MAX"] as const,
);

/** More than the kernel takes: some seconds (sched_deadline_period_max_us). So it fits a number that JSON can hold. */
const NANOSECONDS = integer("uint64", 0, Number.MAX_SAFE_INTEGER);

/** `process.scheduler`. A number that the policy has no use for is an error, as in runc: somebody meant something else. */
export const SCHEDULER = checked(
  object({
    policy: required(POLICY, { note: "SCHED_ISO is known to the specification, but to no kernel" }),
    nice: defaulted(integer("int32", -20, 19), 0),
    priority: defaulted(integer("int32", 0, 99), 0, { note: "for SCHED_FIFO and SCHED_RR" }),
    flags: defaulted(array(FLAG), []),
    runtime: defaulted(NANOSECONDS, 0, { note: "nanoseconds, for SCHED_DEADLINE" }),
    deadline: defaulted(NANOSECONDS, 0, { note: "nanoseconds, for SCHED_DEADLINE" }),
    period: defaulted(NANOSECONDS, 0, { note: "nanoseconds, for SCHED_DEADLINE" }),
  }),
  (scheduler, at) => {
    const { policy, priority } = scheduler;
    if (priority !== 0 && policy !== "SCHED_FIFO" && policy !== "SCHED_RR") {
      throw new ValidationError(`${at}.priority`, `is for SCHED_FIFO and SCHED_RR, not ${policy}`);
    }
    for (const name of ["runtime", "deadline", "period"] as const) {
      if (scheduler[name] === 0 || policy === "SCHED_DEADLINE") continue;
      throw new ValidationError(`${at}.${name}`, `is for SCHED_DEADLINE, not ${policy}`);
    }
    return scheduler;
  },
);

/** Processors that a mask can name: the most that a kernel can be built for (NR_CPUS). */
const MOST_CPUS = 8192;

/** `0-3,7`, in numbers that belong into a mask. */
const CPU_LIST = checked(NUMBER_LIST, (list, at) => {
  for (const range of list.split(",")) {
    const [first = 0, last = first] = range.split("-").map(Number);
    if (first <= last && last < MOST_CPUS) continue;
    throw new ValidationError(at, `must have ranges that go up, to at most ${MOST_CPUS - 1}`);
  }
  return list;
});

/** `process.ioPriority`. */
export const IO_PRIORITY = object({
  class: required(oneOf("IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE")),
  priority: defaulted(integer("int", 0, 7), 0, { note: "0 is the highest, 7 the lowest" }),
});

/** `process.execCPUAffinity`. */
export const EXEC_CPU_AFFINITY = object({
  initial: optional(CPU_LIST, { note: "before the process that `exec` adds is in its cgroups" }),
  final: optional(CPU_LIST, { note: "once it is" }),
});
