// What a profile says of a system call, in the words of config-linux.md and without BPF: to compare filters with.
import { resolveArch, resolveSyscall, SCMP_ACT } from "../../ffi/libseccomp.ts";
import type { LinuxSeccomp } from "../../runtime/spec/types.ts";
import type { SeccompData } from "../../runtime/seccomp/run_filter.ts";

/** libseccomp's names of the architectures that the tests look at, each with its AUDIT_ARCH. */
export const ARCHES: Record<string, number> = {
  x86_64: 0xc000003e,
  x32: 0xc000003e,
  x86: 0x40000003,
  aarch64: 0xc00000b7,
};
const X32_BIT = 0x40000000;
const ENOSYS = 38;

type Action = LinuxSeccomp["defaultAction"];

function answer(action: Action, number = 1): number {
  const value = SCMP_ACT[action];
  return action === "SCMP_ACT_ERRNO" || action === "SCMP_ACT_TRACE"
    ? (value | number) >>> 0
    : value;
}

/** What the filter of a profile must answer. Each system call may be named in one rule only. */
export function expected(profile: LinuxSeccomp, data: SeccompData): number {
  const native: string = Deno.build.arch;
  const known = new Set([native, ...profile.architectures.map((a) => a.slice(10).toLowerCase())]);
  const arch = nameOf(data);
  if (arch === undefined || !known.has(arch)) return SCMP_ACT.SCMP_ACT_KILL;
  const isNewer = data.nr > largest(profile, arch);
  if (refuses(profile) && isNewer) return answer("SCMP_ACT_ERRNO", ENOSYS);
  const rule = profile.syscalls.find(({ names }) =>
    names.some((name) => resolveSyscall(name, resolveArch(arch)) === data.nr)
  );
  return rule !== undefined && matches(rule, data)
    ? answer(rule.action, rule.errnoRet)
    : answer(profile.defaultAction, profile.defaultErrnoRet);
}

function nameOf({ arch, nr }: SeccompData): string | undefined {
  const names = Object.keys(ARCHES).filter((name) => ARCHES[name] === arch);
  return names.length < 2 ? names[0] : nr >= X32_BIT ? "x32" : "x86_64";
}

function largest({ syscalls }: LinuxSeccomp, arch: string): number {
  const numbers = syscalls.flatMap(({ names }) =>
    names.map((name) => resolveSyscall(name, resolveArch(arch)) ?? -1)
  );
  const most = Math.max(...numbers, -1);
  return most < 0 ? Infinity : most; // nothing is known of it: the default for all
}

/** Whether what a profile does not name is refused, and not by ENOSYS already. */
function refuses({ defaultAction, defaultErrnoRet }: LinuxSeccomp): boolean {
  const allows = ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"].includes(defaultAction);
  return !allows && !(defaultAction === "SCMP_ACT_ERRNO" && defaultErrnoRet === ENOSYS);
}

function matches({ args }: LinuxSeccomp["syscalls"][number], data: SeccompData): boolean {
  if (args.length === 0) return true;
  const results = args.map(({ index, op, value, valueTwo }) =>
    compare(op, data.args?.[index] ?? 0n, BigInt(value), BigInt(valueTwo))
  );
  const twice = new Set(args.map(({ index }) => index)).size < args.length;
  return twice ? results.includes(true) : !results.includes(false);
}

function compare(op: string, given: bigint, value: bigint, valueTwo: bigint): boolean {
  switch (op) {
    case "SCMP_CMP_NE":
      return given !== value;
    case "SCMP_CMP_LT":
      return given < value;
    case "SCMP_CMP_LE":
      return given <= value;
    case "SCMP_CMP_EQ":
      return given === value;
    case "SCMP_CMP_GE":
      return given >= value;
    case "SCMP_CMP_GT":
      return given > value;
    default:
      return (given & value) === valueTwo;
  }
}
