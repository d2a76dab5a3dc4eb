/**
 * bpf(2): loading programs and attaching them to cgroups (linux/bpf.h, union bpf_attr).
 *
 * @module
 */
import { type Call, call, effect, Struct } from "../call.ts";
import { flags, named } from "../show.ts";

/** bpf(2) commands. */
export const BPF = { BPF_PROG_LOAD: 5, BPF_PROG_ATTACH: 8, BPF_LINK_CREATE: 28 } as const;

/** Program types (enum bpf_prog_type). */
export const BPF_PROG_TYPE = {
  BPF_PROG_TYPE_SCHED_CLS: 3,
  BPF_PROG_TYPE_CGROUP_DEVICE: 15,
} as const;

/** Where a program is attached (enum bpf_attach_type). */
export const BPF_ATTACH_TYPE = { BPF_CGROUP_DEVICE: 6, BPF_TCX_INGRESS: 46 } as const;

/**
 * BPF_PROG_ATTACH flags. With BPF_F_ALLOW_MULTI the programs of the cgroup and of its ancestors all run, and all
 * must allow.
 */
export const BPF_F = { BPF_F_ALLOW_MULTI: 2 } as const;

/** Bytes of one instruction (struct bpf_insn). */
export const BPF_INSN_SIZE = 8;

const LOAD_SIZE = 72;
const ATTACH_SIZE = 16;
/** Up to tcx.expected_revision and its padding. */
const LINK_CREATE_SIZE = 32;

/**
 * bpf(2) BPF_PROG_LOAD: a descriptor of the program, close-on-exec. EACCES, EINVAL: the verifier refused it.
 * EPERM: CAP_BPF or CAP_SYS_ADMIN is missing, or, before kernel 5.11, RLIMIT_MEMLOCK is too small.
 * @param instructions Whole `struct bpf_insn`s of 8 bytes.
 * @param license What the program may call depends on it; device programs call nothing.
 */
export function bpf_prog_load(
  type: number,
  instructions: Uint8Array,
  license: string,
): Call<number> {
  const count = instructions.length / BPF_INSN_SIZE;
  if (!Number.isInteger(count)) throw new Error("a BPF program must be whole instructions");
  const attr = new Struct(
    LOAD_SIZE,
    [[0, 4, type], [4, 4, count], [8, 8, instructions], [16, 8, license]],
    false,
    () => `{${named(type, BPF_PROG_TYPE).text()}, ${count} instructions}`,
  );
  return call("bpf", named(BPF.BPF_PROG_LOAD, BPF), attr, LOAD_SIZE);
}

/**
 * bpf(2) BPF_PROG_ATTACH: the program runs for the processes of a cgroup2 directory from now on, and lives as long
 * as that. EPERM: an ancestor's program does not allow others below it.
 */
export function bpf_prog_attach(
  cgroup: number,
  program: number,
  attachType: number,
  attachFlags: number,
): Call<void> {
  const attr = new Struct(
    ATTACH_SIZE,
    [[0, 4, cgroup], [4, 4, program], [8, 4, attachType], [12, 4, attachFlags]],
    false,
    () =>
      `{cgroup ${cgroup}, program ${program}, ${named(attachType, BPF_ATTACH_TYPE).text()}, ` +
      `${flags(attachFlags, BPF_F).text()}}`,
  );
  return effect("bpf", named(BPF.BPF_PROG_ATTACH, BPF), attr, ATTACH_SIZE);
}

/**
 * bpf(2) BPF_LINK_CREATE with BPF_TCX_INGRESS, kernel 6.6: the program sees every packet that comes in by a network
 * link of the caller's network namespace, for as long as the descriptor that this returns is open somewhere, and no
 * longer. Close-on-exec. EINVAL: the kernel has no tcx; EPERM: CAP_BPF and CAP_NET_ADMIN are missing; ENODEV: there is
 * no such link.
 * @param ifindex The network link's index.
 */
export function bpf_link_create_tcx(program: number, ifindex: number): Call<number> {
  const type = BPF_ATTACH_TYPE.BPF_TCX_INGRESS;
  const attr = new Struct(
    LINK_CREATE_SIZE,
    [[0, 4, program], [4, 4, ifindex], [8, 4, type]],
    false,
    () => `{program ${program}, link ${ifindex}, ${named(type, BPF_ATTACH_TYPE).text()}}`,
  );
  return call("bpf", named(BPF.BPF_LINK_CREATE, BPF), attr, LINK_CREATE_SIZE);
}
