/**
 * BPF instructions (linux/bpf_common.h, linux/bpf.h; RFC 9669), as bytes.
 *
 * @module
 */

/** One `struct bpf_insn`: u8 code, u4 dst, u4 src, s16 offset, s32 imm. */
export interface BpfInstruction {
  readonly code: number;
  readonly dst?: number;
  readonly src?: number;
  readonly offset?: number;
  readonly imm?: number;
}

const INSN_SIZE = 8;

/** Loads by width in bytes: BPF_LDX | BPF_MEM | size. */
const LOAD = { 1: 0x71, 2: 0x69, 4: 0x61, 8: 0x79 } as const;
/** Stores of a register by width in bytes: BPF_STX | BPF_MEM | size. */
const STORE = { 1: 0x73, 2: 0x6b, 4: 0x63, 8: 0x7b } as const;

/** Bytes that one load or store moves. */
export type BpfWidth = keyof typeof LOAD;

/** The register that holds the end of the stack. */
export const FP = 10;

/** BPF_LDX: `dst = *(src + offset)`. */
export function ldx(width: BpfWidth, dst: number, src: number, offset: number): BpfInstruction {
  return { code: LOAD[width], dst, src, offset };
}

/** BPF_STX: `*(dst + offset) = src`. */
export function stx(width: BpfWidth, dst: number, offset: number, src: number): BpfInstruction {
  return { code: STORE[width], dst, src, offset };
}

/** `dst = src`, 64 bits. */
export function move(dst: number, src: number): BpfInstruction {
  return { code: 0xbf, dst, src };
}

/** `dst = imm`, 64 bits, its sign extended. */
export function set(dst: number, imm: number): BpfInstruction {
  return { code: 0xb7, dst, imm };
}

/** `dst += imm`. */
export function add(dst: number, imm: number): BpfInstruction {
  return { code: 0x07, dst, imm };
}

/** `dst += src`. */
export function addRegister(dst: number, src: number): BpfInstruction {
  return { code: 0x0f, dst, src };
}

/** `dst &= imm`. */
export function and(dst: number, imm: number): BpfInstruction {
  return { code: 0x57, dst, imm };
}

/** `dst <<= imm`. */
export function shiftLeft(dst: number, imm: number): BpfInstruction {
  return { code: 0x67, dst, imm };
}

/** `if (dst == imm) skip the next count instructions`. */
export function skipIfEqual(dst: number, imm: number, count: number): BpfInstruction {
  return { code: 0x15, dst, imm, offset: count };
}

/** `if (dst != imm) skip the next count instructions`. */
export function skipIfNot(dst: number, imm: number, count: number): BpfInstruction {
  return { code: 0x55, dst, imm, offset: count };
}

/** `if (dst != src) skip the next count instructions`. */
export function skipIfDifferent(dst: number, src: number, count: number): BpfInstruction {
  return { code: 0x5d, dst, src, offset: count };
}

/** `if (dst == src) skip the next count instructions`. */
export function skipIfSame(dst: number, src: number, count: number): BpfInstruction {
  return { code: 0x1d, dst, src, offset: count };
}

/** Calls a helper with r1 to r5; its result is in r0, and r1 to r5 are lost. */
export function callHelper(helper: number): BpfInstruction {
  return { code: 0x85, imm: helper };
}

/** Ends the program with what is in r0. */
export function exit(): BpfInstruction {
  return { code: 0x95 };
}

/** Ends the program with 0. */
export function finish(): BpfInstruction[] {
  return [set(0, 0), exit()];
}

/** The program as bytes. */
export function encodeInstructions(program: readonly BpfInstruction[]): Uint8Array {
  const bytes = new Uint8Array(program.length * INSN_SIZE);
  const view = new DataView(bytes.buffer);
  program.forEach(({ code, dst = 0, src = 0, offset = 0, imm = 0 }, index) => {
    const at = index * INSN_SIZE;
    view.setUint8(at, code);
    view.setUint8(at + 1, dst | (src << 4));
    view.setInt16(at + 2, offset, true);
    view.setInt32(at + 4, imm | 0, true);
  });
  return bytes;
}
