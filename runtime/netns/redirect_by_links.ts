import type { Kernel } from "../../ffi/kernel.ts";
import { callHelper, encodeInstructions, exit, set } from "../../ffi/abi/bpf_instructions.ts";
import { bpf_link_create_tcx, bpf_prog_load, BPF_PROG_TYPE } from "../../ffi/syscalls/bpf.ts";
import { close } from "../../ffi/syscalls/file.ts";
import type { NetnsWorker } from "./netns_worker.ts";

/** bpf_redirect(ifindex, flags) (linux/bpf.h, helper functions). */
const BPF_FUNC_REDIRECT = 23;
/** bpf_redirect is for programs that say so. */
const LICENSE = "GPL";

/** `r1 = ifindex; r2 = 0; call bpf_redirect; exit`: every packet leaves by another link. */
export function redirectProgram(ifindex: number): Uint8Array {
  return encodeInstructions([
    set(1, ifindex),
    set(2, 0), // 0: it leaves by that link; BPF_F_INGRESS would let it come in there
    callHelper(BPF_FUNC_REDIRECT),
    exit(),
  ]);
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
