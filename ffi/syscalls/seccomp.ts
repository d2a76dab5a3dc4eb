/**
 * seccomp(2): filters of system calls (linux/seccomp.h, linux/filter.h).
 *
 * @module
 */
import { type Call, call, Struct } from "../call.ts";
import { flags, named } from "../show.ts";

/** seccomp(2) operations. */
export const SECCOMP = { SECCOMP_SET_MODE_FILTER: 1 } as const;

/** Flags of SECCOMP_SET_MODE_FILTER. NEW_LISTENER: the result is a descriptor, close-on-exec (kernel 5.0). */
export const SECCOMP_FILTER_FLAG = {
  SECCOMP_FILTER_FLAG_TSYNC: 1,
  SECCOMP_FILTER_FLAG_LOG: 2,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW: 4,
  SECCOMP_FILTER_FLAG_NEW_LISTENER: 8,
  SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: 32,
} as const;

/** Bytes of one instruction of classic BPF (struct sock_filter). */
export const SOCK_FILTER_SIZE = 8;

/** What a filter may have (BPF_MAXINSNS in linux/bpf_common.h). */
export const BPF_MAXINSNS = 4096;

const FPROG_SIZE = 16;

/**
 * seccomp(2) SECCOMP_SET_MODE_FILTER: from the next system call on, the filter decides. EACCES: neither
 * no_new_privs nor CAP_SYS_ADMIN in the user namespace; EINVAL: the kernel does not take the program or a flag;
 * EBUSY: a second listener.
 * @param program Whole `struct sock_filter`s, at most BPF_MAXINSNS.
 */
export function seccomp_set_mode_filter(filterFlags: number, program: Uint8Array): Call<number> {
  const count = program.length / SOCK_FILTER_SIZE;
  if (!Number.isInteger(count)) throw new Error("a filter must be whole instructions");
  const fprog = new Struct(
    FPROG_SIZE,
    [[0, 2, count], [8, 8, program]],
    false,
    () => `{${count} instructions}`,
  );
  return call(
    "seccomp",
    named(SECCOMP.SECCOMP_SET_MODE_FILTER, SECCOMP),
    flags(filterFlags, SECCOMP_FILTER_FLAG),
    fprog,
  );
}

/** seccomp(2) without a program: EFAULT when the kernel knows the flags, EINVAL when not. Nothing is ever installed. */
export function flagsKnown(filterFlags: number): Call<number> {
  const operation = named(SECCOMP.SECCOMP_SET_MODE_FILTER, SECCOMP);
  // A listener goes with any of the flags, and one of them goes with nothing else.
  const all = filterFlags | SECCOMP_FILTER_FLAG.SECCOMP_FILTER_FLAG_NEW_LISTENER;
  return call("seccomp", operation, flags(all, SECCOMP_FILTER_FLAG), 0);
}
