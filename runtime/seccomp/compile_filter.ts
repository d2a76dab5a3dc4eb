import {
  type Comparison,
  LibseccompError,
  libseccompVersion,
  resolveArch,
  resolveSyscall,
  SCMP_ACT,
  SCMP_CMP,
  SeccompFilter,
} from "../../ffi/libseccomp.ts";
import { ERRNO } from "../../ffi/abi/errno.ts";
import { STUB_BUFFER_ADDRESS, STUB_FD } from "../../ffi/stub/protocol.ts";
import { BPF_MAXINSNS, SOCK_FILTER_SIZE } from "../../ffi/syscalls/seccomp.ts";
import { MSG } from "../../ffi/syscalls/socket.ts";
import { notifies } from "../spec/seccomp_schema.ts";
import type { LinuxSeccomp } from "../spec/types.ts";
import { ValidationError } from "../spec/validation_error.ts";
import { enosysHead, type Known } from "./enosys_head.ts";
import { actionOn, letsPass, SECCOMP_RET } from "./run_filter.ts";

/** More rules than this make a tree, fewer a list (runc's number; libseccomp puts four calls into each leaf). */
const RULES_OF_A_LIST = 32;
/** A token of libseccomp's: this machine's architecture. */
const NATIVE = 0;

type Rule = LinuxSeccomp["syscalls"][number];

/**
 * Compiles a profile for this machine by libseccomp: classic BPF, as seccomp(2) takes it.
 * @throws ValidationError naming the field: without libseccomp, for what libseccomp refuses, and for a filter under
 * which no program could begin.
 */
export function compileFilter(profile: LinuxSeccomp): Uint8Array {
  const version = findLibrary();
  const refuse = (field: string, problem: string, cause?: unknown) =>
    new ValidationError(`linux.seccomp${field}`, `${problem} (libseccomp ${version})`, { cause });
  const defaultAction = actionOf(profile.defaultAction, profile.defaultErrnoRet);
  using filter = make(defaultAction, () => refuse(".defaultAction", "is not known here"));
  profile.architectures.forEach((name, i) => {
    const token = archToken(name);
    const field = `.architectures[${i}]`;
    if (token === 0) throw refuse(field, `${name} is not known here`);
    attempt(() => filter.addArch(token), (cause) => refuse(field, `${name} is refused`, cause));
  });
  const rules = profile.syscalls.reduce((sum, { names }) => sum + names.length, 0);
  if (rules > RULES_OF_A_LIST) filter.preferTree();
  profile.syscalls.forEach((rule, i) => {
    const action = actionOf(rule.action, rule.errnoRet);
    if (action === defaultAction) return; // libseccomp takes it for a mistake
    rule.names.forEach((name, j) => {
      const number = resolveSyscall(name, NATIVE);
      if (number === undefined) return; // newer than this libseccomp, or of another system: as in runc
      for (const comparisons of alternatives(rule.args)) {
        attempt(
          () => filter.addRule(action, number, comparisons),
          (cause) =>
            refuse(`.syscalls[${i}].names[${j}]`, `the rule for ${name} is refused`, cause),
        );
      }
    });
  });
  const program = whole(enosysFor(profile), filter.export());
  const count = program.length / SOCK_FILTER_SIZE;
  if (count > BPF_MAXINSNS) {
    throw refuse("", `makes ${count} instructions, and the kernel takes ${BPF_MAXINSNS}`);
  }
  checkBeginning(program, notifies(profile.defaultAction, profile.syscalls));
  return program;
}

function findLibrary(): string {
  try {
    return libseccompVersion();
  } catch (cause) {
    throw new ValidationError(
      "linux.seccomp",
      "needs libseccomp.so.2 (Debian: libseccomp2), which cannot be loaded here",
      { cause },
    );
  }
}

function make(defaultAction: number, refusal: () => ValidationError): SeccompFilter {
  try {
    return new SeccompFilter(defaultAction);
  } catch (cause) {
    if (!(cause instanceof LibseccompError)) throw cause;
    throw refusal();
  }
}

function attempt(step: () => void, refusal: (cause: unknown) => ValidationError): void {
  try {
    step();
  } catch (cause) {
    throw cause instanceof LibseccompError ? refusal(cause) : cause;
  }
}

/** An action with the number that it returns; EPERM where the profile says none (config-linux.md). */
function actionOf(name: LinuxSeccomp["defaultAction"], number = ERRNO.EPERM): number {
  const action = SCMP_ACT[name];
  return name === "SCMP_ACT_ERRNO" || name === "SCMP_ACT_TRACE" ? action | number : action;
}

/** SCMP_ARCH_X86_64 → the token of x86_64; 0 when libseccomp does not know it. */
export function archToken(name: string): number {
  return resolveArch(name.slice("SCMP_ARCH_".length).toLowerCase());
}

/** libseccomp compares each argument once in a rule. With more, each comparison is a rule of its own, as in runc. */
function alternatives(args: Rule["args"]): Comparison[][] {
  const comparisons = args.map(({ index, op, value, valueTwo }) => ({
    ...{ index, op: SCMP_CMP[op], value: BigInt(value), valueTwo: BigInt(valueTwo) },
  }));
  const twice = new Set(args.map(({ index }) => index)).size < args.length;
  return twice ? comparisons.map((each) => [each]) : [comparisons];
}

function enosysFor(profile: LinuxSeccomp): Uint8Array {
  switch (profile.defaultAction) {
    case "SCMP_ACT_ALLOW":
    case "SCMP_ACT_LOG":
    case "SCMP_ACT_TRACE": // whose tracer answers for what is new, too
      return new Uint8Array();
    case "SCMP_ACT_ERRNO":
      if (profile.defaultErrnoRet === ERRNO.ENOSYS) return new Uint8Array();
  }
  return enosysHead(knownTo(profile));
}

/** How far the profile knows the system calls of the architectures that it is for. */
function knownTo({ architectures, syscalls }: LinuxSeccomp): Known[] {
  const own = Deno.build.arch;
  const names = new Set([own, ...architectures.map((name) => name.slice("SCMP_ARCH_".length))]
    .map((name) => name.toLowerCase()));
  const largest = (arch: string): number =>
    syscalls.flatMap((rule) => rule.names).reduce(
      (most, name) => Math.max(most, resolveSyscall(name, resolveArch(arch)) ?? -1),
      -1,
    );
  const known: Known[] = [];
  for (const name of names) {
    const number = largest(name);
    if (number < 0 || name === "x32") continue; // x32 goes with x86_64
    const x32 = name === "x86_64" && names.has("x32") ? largest("x32") : -1;
    known.push({
      ...{ arch: resolveArch(name), largest: number },
      ...(x32 < 0 ? {} : { largestX32: x32 }),
    });
  }
  return known;
}

function whole(head: Uint8Array, body: Uint8Array): Uint8Array {
  const program = new Uint8Array(head.length + body.length);
  program.set(head);
  program.set(body, head.length);
  return program;
}

/**
 * What is still to be done under the filter must be allowed: execve, or the container's program could not begin (and
 * a stub that may neither execute nor answer could not even say so); with a listener also the sendmsg that brings it
 * to belay (runc needs write for it).
 */
function checkBeginning(filter: Uint8Array, notify: boolean): void {
  const pointer = STUB_BUFFER_ADDRESS;
  const begin = [pointer, pointer, pointer];
  const asked = actionOn(filter, "execve", begin) === SECCOMP_RET.USER_NOTIF;
  if (!asked && !letsPass(filter, "execve", begin)) {
    throw new ValidationError(
      "linux.seccomp",
      "must allow execve, by which the container's program begins",
    );
  }
  if (!notify) return;
  const sent = [BigInt(STUB_FD), pointer, BigInt(MSG.MSG_NOSIGNAL)];
  if (letsPass(filter, "sendmsg", sent)) return;
  throw new ValidationError(
    "linux.seccomp",
    "must allow sendmsg when it has SCMP_ACT_NOTIFY: by it the listener leaves the container",
  );
}
