import { type BpfInstruction, encodeInstructions, exit } from "../../ffi/abi/bpf_instructions.ts";
import type { DeviceList } from "./device_list.ts";

/** Device types in the program's context (linux/bpf.h, BPF_DEVCG_DEV_*). */
const DEVICE_TYPE = { b: 1, c: 2 } as const;

/** Opcodes: class, operation and operand (linux/bpf_common.h, linux/bpf.h; RFC 9669). */
const LDX_W = 0x61;
const MOV32_K = 0xb4;
const MOV32_X = 0xbc;
const AND32_K = 0x54;
const RSH32_K = 0x74;
/** 32-bit comparison, kernel 5.1: the 64-bit one would extend the sign of numbers from 2³¹ on. */
const JNE32_K = 0x56;
const JEQ32_K = 0x16;
const JNE32_X = 0x5e;

/** An instruction; `skip` jumps to the next exception instead of over `offset` instructions. */
interface Instruction extends BpfInstruction {
  readonly skip?: true;
}

/**
 * The program (BPF_PROG_TYPE_CGROUP_DEVICE, kernel 4.15) that decides as `allows()` does. Its context is
 * `{u32 access_type, major, minor}`, with the device type in the lower half of access_type and the access in the
 * upper; it returns 1 to allow, 0 for EPERM.
 *
 * With everything allowed by default an exception forbids every access that shares a bit with it, as in cgroup v1:
 * who may not write may not open for reading and writing, either. (runc and crun compare for equality there.)
 */
export function deviceProgram({ allowed, exceptions }: DeviceList): Uint8Array {
  const program: Instruction[] = [
    { code: LDX_W, dst: 2, src: 1, offset: 0 },
    { code: MOV32_X, dst: 3, src: 2 },
    { code: AND32_K, dst: 2, imm: 0xffff }, // r2: type
    { code: RSH32_K, dst: 3, imm: 16 }, // r3: access
    { code: LDX_W, dst: 4, src: 1, offset: 4 }, // r4: major
    { code: LDX_W, dst: 5, src: 1, offset: 8 }, // r5: minor
  ];
  for (const { type, major, minor, access } of exceptions) {
    const block: Instruction[] = [{ code: JNE32_K, dst: 2, imm: DEVICE_TYPE[type], skip: true }];
    if (major !== -1) block.push({ code: JNE32_K, dst: 4, imm: major, skip: true });
    if (minor !== -1) block.push({ code: JNE32_K, dst: 5, imm: minor, skip: true });
    block.push({ code: MOV32_X, dst: 1, src: 3 }, { code: AND32_K, dst: 1, imm: access });
    if (allowed) block.push({ code: JEQ32_K, dst: 1, imm: 0, skip: true });
    else block.push({ code: JNE32_X, dst: 1, src: 3, skip: true });
    block.push(...verdict(!allowed));
    program.push(
      ...block.map((instruction, at) =>
        instruction.skip ? { ...instruction, offset: block.length - at - 1 } : instruction
      ),
    );
  }
  return encodeInstructions([...program, ...verdict(allowed)]);
}

function verdict(allow: boolean): Instruction[] {
  return [{ code: MOV32_K, dst: 0, imm: allow ? 1 : 0 }, exit()];
}
