import { sizeProblem } from "../../ffi/id_map.ts";
import { cleanCgroupsPath } from "./cgroups_path.ts";
import { pathComponents } from "./path_components.ts";
import { RESOURCES } from "./resources_schema.ts";
import { absolutePath, id, int64, integer, oneOf, string, uint32 } from "./scalars.ts";
import {
  array,
  checked,
  defaulted,
  map,
  object,
  optional,
  refused,
  requested,
  required,
} from "./schema.ts";
import { SECCOMP } from "./seccomp_schema.ts";
import { preview, ValidationError } from "./validation_error.ts";

/** `linux.namespaces[]`. */
export const NAMESPACE = object({
  type: required(oneOf("pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time")),
  path: optional(absolutePath, { note: "absent: a new namespace" }),
});

const LARGEST_UINT32 = 2 ** 32 - 1;

/** `linux.uidMappings[]` and `linux.gidMappings[]`: one line of /proc/PID/uid_map. */
export const ID_MAPPING = checked(
  object({
    containerID: required(uint32),
    hostID: required(uint32),
    size: required(integer("uint32", 1, LARGEST_UINT32)),
  }),
  (mapping, at) => {
    const problem = sizeProblem(mapping);
    if (problem !== undefined) throw new ValidationError(`${at}.size`, problem);
    return mapping;
  },
);

/** `linux.timeOffsets.*`. */
export const TIME_OFFSET = object({
  secs: defaulted(int64, 0),
  nanosecs: defaulted(integer("uint32", 0, 999_999_999), 0),
});

const TIME_OFFSETS = checked(map(TIME_OFFSET), (offsets, at) => {
  for (const clock in offsets) {
    if (clock === "monotonic" || clock === "boottime") continue;
    throw new ValidationError(`${at}.${clock}`, "the clock must be monotonic or boottime");
  }
  return offsets;
});

/**
 * `linux.devices[]`. The bounds are those of the kernel's dev_t: larger numbers would silently
 * become those of another device.
 */
export const DEVICE = checked(
  object({
    path: required(absolutePath),
    type: required(oneOf("c", "b", "u", "p"), { note: "u is c, as in mknod(1)" }),
    major: optional(integer("int64", 0, 4095), { note: "required unless `type` is p" }),
    minor: optional(integer("int64", 0, 1048575), { note: "required unless `type` is p" }),
    fileMode: defaulted(uint32, 0o666, {
      note: "438 (0666) when absent; file type bits dropped",
    }),
    uid: defaulted(id, 0),
    gid: defaulted(id, 0),
  }),
  (device, at) => {
    const { path, uid, gid, fileMode } = device;
    const [type, major, minor] = device.type === "p"
      ? ["p" as const, 0, 0]
      : [device.type === "b" ? "b" as const : "c" as const, device.major, device.minor];
    for (const [name, number] of [["major", major], ["minor", minor]] as const) {
      if (number !== undefined) continue;
      throw new ValidationError(`${at}.${name}`, `is required for a device of type ${device.type}`);
    }
    return {
      path,
      type,
      major: major ?? 0,
      minor: minor ?? 0,
      fileMode: fileMode & 0o7777,
      uid,
      gid,
    };
  },
);

/** `linux.personality`: personality(2). No flag is defined by the specification yet. */
export const PERSONALITY = object({
  domain: required(oneOf("LINUX", "LINUX32"), { note: "LINUX32: uname(2) says i686 or armv8l" }),
  flags: defaulted(
    checked(array(string), (flags, at) => {
      if (flags.length === 0) return flags;
      throw new ValidationError(at, `must be empty: the specification defines no flag`);
    }),
    [],
    { note: "none is defined" },
  ),
});

/** What covers the root itself is not seen by who has it as its root: it would hide nothing. */
const MASKED_PATH = checked(absolutePath, (path, at) => {
  if (pathComponents(path).length > 0) return path;
  throw new ValidationError(at, `must not be the root itself, got ${preview(path)}`);
});

/** It becomes an option of mount(2), in quotes. */
const MOUNT_LABEL = checked(string, (label, at) => {
  if (!label.includes('"')) return label;
  throw new ValidationError(at, `must not contain quotes, got ${preview(label)}`);
});

/** `linux`. */
export const LINUX = object({
  uidMappings: defaulted(array(ID_MAPPING), []),
  gidMappings: defaulted(array(ID_MAPPING), []),
  sysctl: defaulted(map(string), {}, {
    note: "only those of a namespace that the container does not share with the host",
  }),
  resources: optional(RESOURCES),
  cgroupsPath: optional(checked(string, cleanCgroupsPath), {
    note: "cleaned: `..` never leads above the root of the hierarchy",
  }),
  namespaces: defaulted(array(NAMESPACE), [], { note: "one of type mount is required" }),
  devices: defaulted(array(DEVICE), []),
  netDevices: refused("moves of network devices are", { since: "1.3", shape: ".*{name}" }),
  seccomp: requested(SECCOMP, { note: "needs libseccomp.so.2: docs/seccomp.md" }),
  rootfsPropagation: optional(
    oneOf(
      "shared",
      "slave",
      "private",
      "unbindable",
      "rshared",
      "rslave",
      "rprivate",
      "runbindable",
    ),
  ),
  maskedPaths: defaulted(array(MASKED_PATH), [], { note: "not the root itself" }),
  readonlyPaths: defaulted(array(absolutePath), []),
  mountLabel: optional(MOUNT_LABEL, {
    note: "needs a kernel that uses SELinux; for new file systems but proc, sysfs, cgroup, mqueue",
  }),
  intelRdt: refused("Intel RDT is", {
    shape: "{closID@1.0.2 schemata[]@1.3 l3CacheSchema memBwSchema@1.0.2 enableMonitoring@1.3}",
  }),
  memoryPolicy: refused("NUMA memory policies are", {
    since: "1.3",
    shape: "{mode nodes flags[]}",
  }),
  personality: optional(PERSONALITY, { since: "1.0.2" }),
  timeOffsets: defaulted(TIME_OFFSETS, {}, { since: "1.1", note: "of a new time namespace" }),
});
