import { amount, bool, integer, oneOf, string, uint64 } from "./scalars.ts";
import {
  array,
  checked,
  defaulted,
  type Field,
  ineffective,
  object,
  optional,
  refused,
  required,
  type Type,
} from "./schema.ts";
import { preview, ValidationError } from "./validation_error.ts";

const ZERO = "0 is not set";

/** A limit that Docker and others write as 0 when nobody set it; runc reads it the same way. */
function limit(type: Type<bigint>, note?: string): Field<bigint, "maybe"> {
  return optional({ ...type, unset: 0 }, { note: note === undefined ? ZERO : `${note}; ${ZERO}` });
}

/** Device numbers of rules are 32 bits wide in the devices cgroup; -1 is "any". */
const DEVICE_NUMBER = integer("int64", -1, 2 ** 32 - 1);

const ACCESS = checked(string, (access, at) => {
  const rest = access.replace("r", "").replace("w", "").replace("m", "");
  if (access !== "" && rest === "") return access;
  throw new ValidationError(at, `must be made of r, w and m, got ${preview(access)}`);
});

/** `linux.resources.devices[]`. */
export const DEVICE_RULE = checked(
  object({
    allow: defaulted(bool, false),
    type: defaulted(oneOf("a", "b", "c"), "a", { note: "a when absent" }),
    major: defaulted(DEVICE_NUMBER, -1, { note: "-1 and absent are any" }),
    minor: defaulted(DEVICE_NUMBER, -1, { note: "-1 and absent are any" }),
    access: required(ACCESS, { note: "one or more of r, w, m" }),
  }),
  (rule, at) => {
    // The kernel reads `a` as every device, whatever numbers follow: that would allow too much.
    if (rule.type !== "a" || (rule.major === -1 && rule.minor === -1)) return rule;
    throw new ValidationError(`${at}.type`, `"a" is every device; with numbers it must be b or c`);
  },
);

/** `linux.resources.memory`. All sizes are in bytes; -1 is unlimited. */
export const MEMORY = object({
  limit: limit(amount),
  reservation: limit(amount),
  swap: limit(amount, "memory and swap together"),
  kernel: ineffective("Linux removed limits of kernel memory (5.4 and 5.16)"),
  kernelTCP: ineffective("as with runc, limits of kernel TCP memory are ignored"),
  swappiness: optional(integer("uint64", 0, 100)),
  disableOOMKiller: optional(bool),
  useHierarchy: optional(bool, {
    since: "1.0.2",
    note: "always on since Linux 5.11 and on cgroup v2",
  }),
  checkBeforeUpdate: refused("checks before an update of limits are", { since: "1.1" }),
});

const QUOTA = checked(amount, (quota, at) => {
  if (quota === -1n || quota >= 1000n) return quota;
  throw new ValidationError(at, `must be at least 1000 (a millisecond) or -1, got ${quota}`);
});

const PERIOD = checked(uint64, (period, at) => {
  if (period >= 1000n && period <= 1_000_000n) return period;
  throw new ValidationError(at, `must be from 1000 to 1000000 microseconds, got ${period}`);
});

/** `0-3,7`: as cpuset.cpus and cpuset.mems take it. */
const NUMBER_LIST = checked(string, (list, at) => {
  if (/^\d+(-\d+)?(,\d+(-\d+)?)*$/.test(list)) return list;
  throw new ValidationError(at, `must be a list like "0-3,7", got ${preview(list)}`);
});

/** `linux.resources.cpu`. All times are in microseconds. */
export const CPU = object({
  shares: limit(uint64),
  quota: limit(QUOTA, "-1 is unlimited"),
  burst: refused("CPU bursts are", { since: "1.1" }),
  period: limit(PERIOD),
  realtimeRuntime: limit(amount),
  realtimePeriod: limit(uint64),
  cpus: optional(NUMBER_LIST),
  mems: optional(NUMBER_LIST),
  idle: refused("SCHED_IDLE cgroups are", { since: "1.1" }),
});

/** `linux.resources.pids`. */
export const PIDS = object({
  limit: optional(amount, { note: "-1 is unlimited, 0 is a limit" }),
});

/** `linux.resources`. */
export const RESOURCES = object({
  devices: defaulted(array(DEVICE_RULE), []),
  memory: optional(MEMORY),
  cpu: optional(CPU),
  pids: optional(PIDS),
  blockIO: refused("limits of block I/O are", {
    shape: "{weight leafWeight weightDevice[]{major minor weight leafWeight} " +
      "throttleReadBpsDevice[]{major minor rate} throttleWriteBpsDevice[]{major minor rate} " +
      "throttleReadIOPSDevice[]{major minor rate} throttleWriteIOPSDevice[]{major minor rate}}",
  }),
  hugepageLimits: refused("limits of huge pages are", { shape: "[]{pageSize limit}" }),
  network: refused("network classes and priorities are", {
    shape: "{classID priorities[]{name priority}}",
  }),
  rdma: refused("limits of RDMA are", { since: "1.0.2", shape: ".*{hcaHandles hcaObjects}" }),
  unified: refused("direct settings of cgroup v2 files are", { since: "1.1", shape: ".*" }),
});
