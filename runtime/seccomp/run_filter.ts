import { type SyscallName, syscallNumber } from "../../ffi/abi/syscall_numbers.ts";
import { SOCK_FILTER_SIZE } from "../../ffi/syscalls/seccomp.ts";

/** What a filter is shown of a system call (struct seccomp_data). */
export interface SeccompData {
  readonly nr: number;
  /** AUDIT_ARCH_*. */
  readonly arch: number;
  readonly args?: readonly bigint[];
  readonly instructionPointer?: bigint;
}

/** struct seccomp_data: nr, arch, instruction_pointer, args[6]. */
const DATA = { size: 64, nr: 0, arch: 4, instructionPointer: 8, args: 16 } as const;

/** Opcodes of classic BPF (linux/bpf_common.h), as far as filters of libseccomp and ours use them. */
export const BPF_OP = {
  LD_W_ABS: 0x20,
  JMP_JA: 0x05,
  JMP_JEQ_K: 0x15,
  JMP_JGT_K: 0x25,
  JMP_JGE_K: 0x35,
  JMP_JSET_K: 0x45,
  ALU_AND_K: 0x54,
  RET_K: 0x06,
} as const;

/**
 * What a filter answers to a system call: the SECCOMP_RET_* value. So belay knows, before it has made anything,
 * whether a filter lets a container's program begin at all.
 * @throws Error for a program that is none of libseccomp's.
 */
export function runFilter(program: Uint8Array, data: SeccompData): number {
  const code = new DataView(program.buffer, program.byteOffset, program.byteLength);
  const seen = new DataView(new ArrayBuffer(DATA.size));
  seen.setInt32(DATA.nr, data.nr, true);
  seen.setUint32(DATA.arch, data.arch, true);
  seen.setBigUint64(DATA.instructionPointer, data.instructionPointer ?? 0n, true);
  data.args?.forEach((arg, i) => seen.setBigUint64(DATA.args + i * 8, arg, true));
  let a = 0;
  for (let at = 0; at + SOCK_FILTER_SIZE <= program.length; at += SOCK_FILTER_SIZE) {
    const [op, k] = [code.getUint16(at, true), code.getUint32(at + 4, true)];
    const jump = (taken: boolean) => {
      at += code.getUint8(at + (taken ? 2 : 3)) * SOCK_FILTER_SIZE;
    };
    switch (op) {
      case BPF_OP.LD_W_ABS:
        a = seen.getUint32(k, true);
        break;
      case BPF_OP.ALU_AND_K:
        a = (a & k) >>> 0;
        break;
      case BPF_OP.JMP_JA:
        at += k * SOCK_FILTER_SIZE;
        break;
      case BPF_OP.JMP_JEQ_K:
        jump(a === k);
        break;
      case BPF_OP.JMP_JGT_K:
        jump(a > k);
        break;
      case BPF_OP.JMP_JGE_K:
        jump(a >= k);
        break;
      case BPF_OP.JMP_JSET_K:
        jump((a & k) !== 0);
        break;
      case BPF_OP.RET_K:
        return k;
      default:
        throw new Error(
          `a filter with an instruction that belay does not know: 0x${op.toString(16)}`,
        );
    }
  }
  throw new Error("a filter that does not end");
}

/** AUDIT_ARCH_* of this machine (linux/audit.h). */
const AUDIT_ARCH = Deno.build.arch === "x86_64" ? 0xc000003e : 0xc00000b7;
const ACTION_MASK = 0xffff0000;

/** What a filter may do with a call (SECCOMP_RET_*, linux/seccomp.h), as far as belay asks. */
export const SECCOMP_RET = {
  ALLOW: 0x7fff0000,
  LOG: 0x7ffc0000,
  USER_NOTIF: 0x7fc00000,
} as const;

/** What a filter does with a call of this machine's own kind: a SECCOMP_RET_* value without its data. */
export function actionOn(
  filter: Uint8Array,
  name: SyscallName,
  args: readonly bigint[],
): number {
  const data = { nr: syscallNumber(name), arch: AUDIT_ARCH, args };
  return (runFilter(filter, data) & ACTION_MASK) >>> 0;
}

/** Whether a filter lets such a call be made without asking anybody. */
export function letsPass(
  filter: Uint8Array,
  name: SyscallName,
  args: readonly bigint[],
): boolean {
  const action = actionOn(filter, name, args);
  return action === SECCOMP_RET.ALLOW || action === SECCOMP_RET.LOG;
}
