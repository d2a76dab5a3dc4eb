/**
 * BPF iterators: programs that the kernel runs once for each of its own objects, and that write what they find where
 * read(2) takes it up (kernel 5.8; Documentation/bpf/bpf_iterators.rst).
 *
 * @module
 */
import { type Call, call, Struct } from "../call.ts";
import { named } from "../show.ts";

const BPF = { BPF_PROG_LOAD: 5, BPF_LINK_CREATE: 28, BPF_ITER_CREATE: 33 } as const;
const BPF_PROG_TYPE_TRACING = 26;
const BPF_TRACE_ITER = 28;
const INSN_SIZE = 8;

/**
 * The kernel lets only programs under a licence that is compatible with the GPL read its memory. belay's iterator
 * programs are offered under either of these, beside belay's own licence.
 */
const LICENSE = "Dual BSD/GPL";

/**
 * bpf(2) BPF_PROG_LOAD of an iterator's program: its descriptor.
 * EPERM: CAP_BPF and CAP_PERFMON are missing, or lockdown(7) forbids reading the kernel. EINVAL, ENOENT: no such
 * iterator. EACCES: the verifier refused the program.
 * @param target The BTF id of the kernel's function `bpf_iter_NAME`.
 */
export function bpf_iterator_load(target: number, instructions: Uint8Array): Call<number> {
  const size = 112;
  const count = instructions.length / INSN_SIZE;
  const attr = new Struct(
    size,
    [
      [0, 4, BPF_PROG_TYPE_TRACING],
      [4, 4, count],
      [8, 8, instructions],
      [16, 8, LICENSE],
      [68, 4, BPF_TRACE_ITER],
      [108, 4, target],
    ],
    false,
    () => `{BPF_PROG_TYPE_TRACING, BPF_TRACE_ITER, ${count} instructions}`,
  );
  return call("bpf", named(BPF.BPF_PROG_LOAD, BPF), attr, size);
}

/** bpf(2) BPF_LINK_CREATE: ties the program to what it iterates over; a descriptor. */
export function bpf_iterator_link(program: number): Call<number> {
  const attr = new Struct(48, [[0, 4, program], [8, 4, BPF_TRACE_ITER]]);
  return call("bpf", named(BPF.BPF_LINK_CREATE, BPF), attr, 48);
}

/** bpf(2) BPF_ITER_CREATE: one walk over everything; a descriptor to read what the program writes. */
export function bpf_iter_create(link: number): Call<number> {
  const attr = new Struct(8, [[0, 4, link]]);
  return call("bpf", named(BPF.BPF_ITER_CREATE, BPF), attr, 8);
}
