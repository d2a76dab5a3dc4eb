import { amount, bool, integer, oneOf, string, uint32, uint64 } from "./scalars.ts";
import {
  array,
  checked,
  defaulted,
  type Field,
  ineffective,
  map,
  object,
  optional,
  required,
  type Type,
} from "./schema.ts";
import { pathOf, preview, ValidationError } from "./validation_error.ts";

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
  checkBeforeUpdate: optional(bool, {
    since: "1.1",
    note: "a limit below what is in use is refused; cgroup v1 does so in any case",
  }),
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
export const NUMBER_LIST = checked(string, (list, at) => {
  if (/^\d+(-\d+)?(,\d+(-\d+)?)*$/.test(list)) return list;
  throw new ValidationError(at, `must be a list like "0-3,7", got ${preview(list)}`);
});

/** `linux.resources.cpu`. All times are in microseconds. */
export const CPU = object({
  shares: limit(uint64),
  quota: limit(QUOTA, "-1 is unlimited"),
  burst: optional(uint64, { since: "1.1" }),
  period: limit(PERIOD),
  realtimeRuntime: limit(amount),
  realtimePeriod: limit(uint64),
  cpus: optional(NUMBER_LIST),
  mems: optional(NUMBER_LIST),
  idle: optional(integer("int64", 0, 1), { since: "1.1" }),
});

/** `linux.resources.pids`. */
export const PIDS = object({
  limit: optional(amount, { note: "-1 is unlimited, 0 is a limit" }),
});

/** The bounds of block I/O weights in the specification; 0 is not set. */
const WEIGHT = optional({ ...integer("uint16", 10, 1000), unset: 0 as const }, { note: ZERO });
/** Of CFQ, which Linux 5.0 removed: where the kernel has no such file, the container is refused. */
const LEAF_WEIGHT = optional({ ...integer("uint16", 10, 1000), unset: 0 as const }, {
  note: `cgroup v1 before Linux 5.0; ${ZERO}`,
});

/** A block device's numbers, as dev_t has room for them. */
const BLOCK_DEVICE = {
  major: required(integer("int64", 0, 4095)),
  minor: required(integer("int64", 0, 1048575)),
};

/** `linux.resources.blockIO.weightDevice[]`. */
export const WEIGHT_DEVICE = object({
  ...BLOCK_DEVICE,
  weight: WEIGHT,
  leafWeight: LEAF_WEIGHT,
});

/** `linux.resources.blockIO.throttle*Device[]`: bytes or operations a second; 0 takes a limit away. */
export const THROTTLE_DEVICE = object({ ...BLOCK_DEVICE, rate: required(uint64) });

const THROTTLES = defaulted(array(THROTTLE_DEVICE), []);

/** `linux.resources.blockIO`. */
export const BLOCK_IO = object({
  weight: WEIGHT,
  leafWeight: LEAF_WEIGHT,
  weightDevice: defaulted(array(WEIGHT_DEVICE), []),
  throttleReadBpsDevice: THROTTLES,
  throttleWriteBpsDevice: THROTTLES,
  throttleReadIOPSDevice: THROTTLES,
  throttleWriteIOPSDevice: THROTTLES,
});

const PAGE_SIZE = checked(string, (size, at) => {
  if (/^[1-9][0-9]*[KMG]B$/.test(size)) return size;
  throw new ValidationError(at, `must be a size like "2MB" or "1GB", got ${preview(size)}`);
});

/** `linux.resources.hugepageLimits[]`; limits are in bytes. */
export const HUGEPAGE_LIMIT = object({
  pageSize: required(PAGE_SIZE, { note: "as the kernel names them: 2MB, 1GB" }),
  limit: required(uint64),
});

/** One word of a line that is written to the kernel. */
const WORD = checked(string, (word, at) => {
  if (/^[^\s/]+$/.test(word)) return word;
  throw new ValidationError(at, `must be a name without spaces, got ${preview(word)}`);
});

/** `linux.resources.network`. */
export const NETWORK = object({
  classID: limit32("cgroup v1"),
  priorities: defaulted(
    array(object({ name: required(WORD), priority: required(uint32) })),
    [],
    { note: "cgroup v1" },
  ),
});

function limit32(note: string): Field<number, "maybe"> {
  return optional({ ...uint32, unset: 0 }, { note: `${note}; ${ZERO}` });
}

/** `linux.resources.rdma.*`, by device. */
export const RDMA = object({ hcaHandles: optional(uint32), hcaObjects: optional(uint32) });

const RDMA_DEVICES = checked(map(RDMA), (devices, at) => {
  for (const device in devices) {
    const { hcaHandles, hcaObjects } = devices[device] ?? {};
    WORD.parse(device, `${at} (a device)`, []);
    if (hcaHandles !== undefined || hcaObjects !== undefined) continue;
    throw new ValidationError(pathOf(at, device), "must have hcaHandles or hcaObjects");
  }
  return devices;
});

/** Those of the core's own files that limit; the others move, freeze and kill processes, which is belay's. */
const CORE_LIMITS: readonly string[] = ["cgroup.max.depth", "cgroup.max.descendants"];

const UNIFIED = checked(map(string), (files, at) => {
  for (const file in files) {
    if (!/^[a-z][\w-]*\.[\w.-]+$/.test(file)) {
      throw new ValidationError(
        pathOf(at, file),
        "must be a file of a cgroup, such as memory.high",
      );
    }
    if (!file.startsWith("cgroup.") || CORE_LIMITS.includes(file)) continue;
    throw new ValidationError(
      pathOf(at, file),
      `is no limit; of the files cgroup.* only ${CORE_LIMITS.join(" and ")} are allowed`,
    );
  }
  return files;
});

/** `linux.resources`. */
export const RESOURCES = object({
  devices: defaulted(array(DEVICE_RULE), []),
  memory: optional(MEMORY),
  cpu: optional(CPU),
  pids: optional(PIDS),
  blockIO: optional(BLOCK_IO),
  hugepageLimits: defaulted(array(HUGEPAGE_LIMIT), []),
  network: optional(NETWORK),
  rdma: defaulted(RDMA_DEVICES, {}, { since: "1.0.2", note: "by device" }),
  unified: defaulted(UNIFIED, {}, {
    since: "1.1",
    note: "cgroup v2; each file by its name, written as given, after all other limits",
  }),
});
