import { RLIMIT_NAMES } from "./rlimit_names.ts";
import { absolutePath, bool, id, integer, oneOf, string, uint64 } from "./scalars.ts";
import {
  array,
  checked,
  defaulted,
  foreign,
  object,
  optional,
  requested,
  required,
} from "./schema.ts";
import { EXEC_CPU_AFFINITY, IO_PRIORITY, SCHEDULER } from "./scheduling_schema.ts";
import { preview, ValidationError } from "./validation_error.ts";

/** The height and width of a terminal are unsigned shorts in the kernel's struct winsize. */
const CELLS = integer("uint16", 0, 65535);

/** `process.consoleSize`. */
export const BOX = object({
  height: required(CELLS),
  width: required(CELLS),
});

/** `process.user`. */
export const USER = object({
  uid: defaulted(id, 0, { note: "0 when absent" }),
  gid: defaulted(id, 0, { note: "0 when absent" }),
  umask: optional(integer("uint32", 0, 0o777), { since: "1.0.2", note: "at most 511 (0777)" }),
  additionalGids: defaulted(array(id), []),
  username: foreign("Windows"),
});

const CAPABILITY_SET = defaulted(array(string), [], {
  note: "an unknown name, and what the kernel would not grant, is dropped with a warning",
});

/** `process.capabilities`. */
export const CAPABILITIES = object({
  bounding: CAPABILITY_SET,
  effective: CAPABILITY_SET,
  inheritable: CAPABILITY_SET,
  permitted: CAPABILITY_SET,
  ambient: CAPABILITY_SET,
});

/** `process.rlimits[]`. */
export const RLIMIT = object({
  type: required(oneOf(...RLIMIT_NAMES)),
  hard: required(uint64, { note: "18446744073709551615 is RLIM_INFINITY" }),
  soft: required(uint64, { note: "at most `hard`" }),
});

/** `process.env[]`: as runc does, what is no assignment is refused. */
const ENVIRONMENT_VARIABLE = checked(string, (text, at) => {
  if (text.indexOf("=") > 0) return text;
  throw new ValidationError(at, `must be of the form NAME=VALUE, got ${preview(text)}`);
});

const ARGS = checked(array(string), (args, at) => {
  if (args.length > 0) return args;
  throw new ValidationError(at, "must not be empty; its first entry is what is executed");
});

/** `process`. */
export const PROCESS = object({
  terminal: defaulted(bool, false),
  consoleSize: optional(BOX, { note: "ignored without `terminal`" }),
  user: defaulted(USER, {}),
  args: required(ARGS, { note: "at least one" }),
  commandLine: foreign("Windows", { since: "1.0.2" }),
  env: defaulted(array(ENVIRONMENT_VARIABLE), [], {
    note: "of several of one name the last counts",
  }),
  cwd: required(absolutePath),
  capabilities: defaulted(CAPABILITIES, {}, { note: "when absent, the process has none" }),
  rlimits: defaulted(array(RLIMIT), []),
  noNewPrivileges: defaulted(bool, false),
  apparmorProfile: optional(string, { note: "needs a kernel that uses AppArmor" }),
  oomScoreAdj: optional(integer("int", -1000, 1000), { note: "-1000 to 1000" }),
  scheduler: requested(SCHEDULER, { since: "1.1" }),
  selinuxLabel: optional(string, { note: "needs a kernel that uses SELinux" }),
  ioPriority: requested(IO_PRIORITY, { since: "1.1" }),
  execCPUAffinity: requested(EXEC_CPU_AFFINITY, {
    since: "1.2.1",
    note: "of what `exec` adds; the first process has none of it",
  }),
});
