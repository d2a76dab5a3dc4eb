/**
 * config.json as belay works with it: the JSON names of the specification, every default filled
 * in, refused and foreign fields gone, 64-bit numbers as bigint, mount options read (`parsed`).
 * All types come from the schema, so that they cannot differ from what the parser returns.
 */
import type {
  BLOCK_IO,
  CPU,
  DEVICE_RULE,
  MEMORY,
  NETWORK,
  PIDS,
  RESOURCES,
  THROTTLE_DEVICE,
  WEIGHT_DEVICE,
} from "./resources_schema.ts";
import type { DEVICE, ID_MAPPING, LINUX, NAMESPACE, TIME_OFFSET } from "./linux_schema.ts";
import type { BOX, CAPABILITIES, PROCESS, RLIMIT, USER } from "./process_schema.ts";
import type { Infer } from "./schema.ts";
import type { SECCOMP } from "./seccomp_schema.ts";
import type { HOOK, HOOKS, MOUNT, ROOT, SPEC } from "./spec_schema.ts";

/** The whole of config.json. */
export type Spec = Infer<typeof SPEC>;
/** `root`. */
export type Root = Infer<typeof ROOT>;
/** `mounts[]`, with `parsed`: its options, read. */
export type Mount = Infer<typeof MOUNT>;
/** One hook; `timeout` in seconds. */
export type Hook = Infer<typeof HOOK>;
/** `hooks`: all six lists, empty when absent. */
export type Hooks = Infer<typeof HOOKS>;
/** `process`. */
export type Process = Infer<typeof PROCESS>;
/** `process.consoleSize`, in characters. */
export type Box = Infer<typeof BOX>;
/** `process.user`. */
export type User = Infer<typeof USER>;
/** `process.capabilities`: five sets of names that are all in CAPABILITY_NAMES. */
export type LinuxCapabilities = Infer<typeof CAPABILITIES>;
/** `process.rlimits[]`. */
export type Rlimit = Infer<typeof RLIMIT>;
/** `linux`. */
export type Linux = Infer<typeof LINUX>;
/** `linux.namespaces[]`; without `path` it is to be made. */
export type LinuxNamespace = Infer<typeof NAMESPACE>;
/** The specification's name of a kind of namespace. */
export type LinuxNamespaceType = LinuxNamespace["type"];
/** `linux.uidMappings[]`, `linux.gidMappings[]`. */
export type IdMapping = Infer<typeof ID_MAPPING>;
/** `linux.timeOffsets.*`. */
export type TimeOffset = Infer<typeof TIME_OFFSET>;
/** `linux.devices[]`; `type` is c, b or p, `fileMode` holds permission bits only. */
export type LinuxDevice = Infer<typeof DEVICE>;
/** `linux.seccomp`; numbers of 64 bits are in decimal, so that it can be written as JSON. */
export type LinuxSeccomp = Infer<typeof SECCOMP>;
/** `linux.resources`. */
export type LinuxResources = Infer<typeof RESOURCES>;
/** `linux.resources.devices[]`; -1 is any number. */
export type LinuxDeviceCgroup = Infer<typeof DEVICE_RULE>;
/** `linux.resources.memory`: bytes, -1 is unlimited. */
export type LinuxMemory = Infer<typeof MEMORY>;
/** `linux.resources.cpu`: microseconds. */
export type LinuxCPU = Infer<typeof CPU>;
/** `linux.resources.pids`. */
export type LinuxPids = Infer<typeof PIDS>;
/** `linux.resources.blockIO`. */
export type LinuxBlockIO = Infer<typeof BLOCK_IO>;
/** `linux.resources.blockIO.weightDevice[]`. */
export type LinuxWeightDevice = Infer<typeof WEIGHT_DEVICE>;
/** `linux.resources.blockIO.throttle*Device[]`. */
export type LinuxThrottleDevice = Infer<typeof THROTTLE_DEVICE>;
/** `linux.resources.network`. */
export type LinuxNetwork = Infer<typeof NETWORK>;
