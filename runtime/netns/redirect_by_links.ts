import type { Kernel } from "../../ffi/kernel.ts";
import {
  BPF_INSN_SIZE,
  bpf_link_create_tcx,
  bpf_prog_load,
  BPF_PROG_TYPE,
} from "../../ffi/syscalls/bpf.ts";
import { close } from "../../ffi/syscalls/file.ts";
import type { NetnsWorker } from "./netns_worker.ts";

/** bpf_redirect(ifindex, flags) (linux/bpf.h, helper functions). */
const BPF_FUNC_REDIRECT = 23;
/** Opcodes (linux/bpf.h): move a number into a register, call a helper, end. */
const OPCODE = { MOV64_IMM: 0xb7, CALL: 0x85, EXIT: 0x95 } as const;
/** bpf_redirect is for programs that say so. */
const LICENSE = "GPL";

/** `r1 = ifindex; r2 = 0; call bpf_redirect; exit`: every packet leaves by another link. */
export function redirectProgram(ifindex: number): Uint8Array {
  const instructions: readonly (readonly [code: number, register: number, value: number])[] = [
    [OPCODE.MOV64_IMM, 1, ifindex],
    [OPCODE.MOV64_IMM, 2, 0], // 0: it leaves by that link; BPF_F_INGRESS would let it come in there
    [OPCODE.CALL, 0, BPF_FUNC_REDIRECT],
    [OPCODE.EXIT, 0, 0],
  ];
  const bytes = new Uint8Array(instructions.length * BPF_INSN_SIZE);
  const view = new DataView(bytes.buffer);
  instructions.forEach(([code, register, value], i) => {
    view.setUint8(i * BPF_INSN_SIZE, code);
    view.setUint8(i * BPF_INSN_SIZE + 1, register);
    view.setInt32(i * BPF_INSN_SIZE + 4, value, true);
  });
  return bytes;
}

/**
 * Sends what comes in by each of two links out by the other (two tcx links, kernel 6.6). Nothing but the two
 * descriptors keeps that: with the last process that has them it is gone, and both links are as they were.
 * @returns The descriptors, close-on-exec, the caller's.
 * @throws SyscallError EINVAL where the kernel has no tcx.
 */
export function redirectByLinks(worker: NetnsWorker, one: number, other: number): number[] {
  const made: number[] = [];
  try {
    for (const [from, to] of [[one, other], [other, one]] as const) {
      made.push(attachRedirect(worker, from, to));
    }
    return made;
  } catch (error) {
    for (const fd of made) worker.call(close(fd));
    throw error;
  }
}

function attachRedirect(worker: Kernel, from: number, to: number): number {
  const type = BPF_PROG_TYPE.BPF_PROG_TYPE_SCHED_CLS;
  const program = worker.call(bpf_prog_load(type, redirectProgram(to), LICENSE));
  try {
    return worker.call(bpf_link_create_tcx(program, from));
  } finally {
    worker.call(close(program)); // the link keeps it
  }
}
