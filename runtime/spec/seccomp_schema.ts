import { absolutePath, integer, nonEmpty, oneOf, string, uint64 } from "./scalars.ts";
import { array, checked, defaulted, object, optional, required } from "./schema.ts";
import { preview, ValidationError } from "./validation_error.ts";

const ACTION = oneOf(
  "SCMP_ACT_KILL",
  "SCMP_ACT_KILL_PROCESS",
  "SCMP_ACT_KILL_THREAD",
  "SCMP_ACT_TRAP",
  "SCMP_ACT_ERRNO",
  "SCMP_ACT_TRACE",
  "SCMP_ACT_ALLOW",
  "SCMP_ACT_LOG",
  "SCMP_ACT_NOTIFY",
);

const ARCHITECTURE = oneOf(
  ...["SCMP_ARCH_X86", "SCMP_ARCH_X86_64", "SCMP_ARCH_X32", "SCMP_ARCH_ARM"] as const,
  ...["SCMP_ARCH_AARCH64", "SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64", "SCMP_ARCH_MIPS64N32"] as const,
  ...["SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32"] as const,
  ...["SCMP_ARCH_PPC", "SCMP_ARCH_PPC64", "SCMP_ARCH_PPC64LE", "SCMP_ARCH_S390"] as const,
  ...["SCMP_ARCH_S390X", "SCMP_ARCH_PARISC", "SCMP_ARCH_PARISC64", "SCMP_ARCH_RISCV64"] as const,
  ...["SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_M68K", "SCMP_ARCH_SH", "SCMP_ARCH_SHEB"] as const,
);

const FLAG = oneOf(
  "SECCOMP_FILTER_FLAG_TSYNC",
  "SECCOMP_FILTER_FLAG_LOG",
  "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
  "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
);

/** In decimal. */
const DECIMAL = checked(uint64, String);

/** `linux.seccomp.syscalls[].args[]`. */
const ARGUMENT = object({
  index: required(integer("uint", 0, 5), { note: "0 to 5" }),
  value: required(DECIMAL),
  valueTwo: defaulted(DECIMAL, 0, { note: "for SCMP_CMP_MASKED_EQ: what is left of the argument" }),
  op: required(
    oneOf(
      "SCMP_CMP_NE",
      "SCMP_CMP_LT",
      "SCMP_CMP_LE",
      "SCMP_CMP_EQ",
      "SCMP_CMP_GE",
      "SCMP_CMP_GT",
      "SCMP_CMP_MASKED_EQ",
    ),
  ),
});

/** SECCOMP_RET_DATA has 16 bits; as an error number libseccomp takes what is below MAX_ERRNO (linux/err.h). */
const LARGEST_NUMBER = 0xffff;
const LARGEST_ERRNO = 4094;

const ERRNO = integer("uint", 0, LARGEST_NUMBER);

/** An action with what it returns. @throws ValidationError for a number that the action has no use for. */
function checkNumber(action: string, number: number | undefined, at: string): void {
  if (number === undefined || action === "SCMP_ACT_TRACE") return;
  if (action !== "SCMP_ACT_ERRNO") {
    throw new ValidationError(at, `is for SCMP_ACT_ERRNO and SCMP_ACT_TRACE, not ${action}`);
  }
  if (number > LARGEST_ERRNO) {
    throw new ValidationError(at, `must be at most ${LARGEST_ERRNO}, got ${number}`);
  }
}

/** `linux.seccomp.syscalls[]`. */
const RULE = checked(
  object({
    names: required(
      checked(array(nonEmpty), (names, at) => {
        if (names.length > 0) return names;
        throw new ValidationError(at, "must contain at least one name");
      }),
      { note: "at least one; names that libseccomp does not know are passed over" },
    ),
    action: required(ACTION),
    errnoRet: optional(ERRNO, {
      since: "1.1",
      note: "1 (EPERM) when absent; for SCMP_ACT_ERRNO, at most 4094, and SCMP_ACT_TRACE",
    }),
    args: defaulted(array(ARGUMENT), [], {
      note: "two for the same argument: each is a rule of its own, as in runc",
    }),
  }),
  (rule, at) => {
    checkNumber(rule.action, rule.errnoRet, `${at}.errnoRet`);
    return rule;
  },
);

/** Bytes of a path in a sockaddr_un (unix(7)). */
const LONGEST_SOCKET_PATH = 107;

const SOCKET_PATH = checked(absolutePath, (path, at) => {
  if (new TextEncoder().encode(path).length <= LONGEST_SOCKET_PATH) return path;
  throw new ValidationError(at, `must have at most ${LONGEST_SOCKET_PATH} bytes, as any socket`);
});

/** `linux.seccomp`. */
export const SECCOMP = checked(
  object({
    defaultAction: required(ACTION),
    defaultErrnoRet: optional(ERRNO, { since: "1.1", note: "1 (EPERM) when absent" }),
    architectures: defaulted(array(ARCHITECTURE), [], {
      note: "beside this machine's, which is always there; as far as libseccomp knows them",
    }),
    flags: optional(array(FLAG), {
      since: "1.0.2",
      note:
        "as far as the kernel knows them; when absent, SECCOMP_FILTER_FLAG_SPEC_ALLOW, as in runc",
    }),
    listenerPath: optional(SOCKET_PATH, {
      since: "1.1",
      note: "required with SCMP_ACT_NOTIFY, else not used",
    }),
    listenerMetadata: optional(string, { since: "1.1", note: "needs `listenerPath`" }),
    syscalls: defaulted(array(RULE), []),
  }),
  (seccomp, at) => {
    const { defaultAction, defaultErrnoRet, syscalls, listenerPath, listenerMetadata } = seccomp;
    checkNumber(defaultAction, defaultErrnoRet, `${at}.defaultErrnoRet`);
    const notify = notifies(defaultAction, syscalls);
    const waits = seccomp.flags?.indexOf("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV") ?? -1;
    if (waits >= 0 && !notify) {
      throw new ValidationError(`${at}.flags[${waits}]`, "is for profiles with SCMP_ACT_NOTIFY");
    }
    if (listenerPath !== undefined) return seccomp;
    if (listenerMetadata !== undefined) {
      throw new ValidationError(
        `${at}.listenerMetadata`,
        `must not be set without listenerPath, got ${preview(listenerMetadata)}`,
      );
    }
    if (notify) {
      throw new ValidationError(`${at}.listenerPath`, "is required for SCMP_ACT_NOTIFY");
    }
    return seccomp;
  },
);

/** Whether a profile has a use for a listener. */
export function notifies(
  defaultAction: string,
  rules: readonly { readonly action: string }[],
): boolean {
  const isNotify = (action: string) => action === "SCMP_ACT_NOTIFY";
  return isNotify(defaultAction) || rules.some(({ action }) => isNotify(action));
}
