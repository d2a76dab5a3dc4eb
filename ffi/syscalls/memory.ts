/**
 * Memory and clocks.
 *
 * @module
 */
import { type Call, call, effect, type Fd, type Struct } from "../call.ts";
import { flags } from "../show.ts";

/** PROT_* (asm-generic/mman-common.h). */
export const PROT = { PROT_READ: 1, PROT_WRITE: 2, PROT_EXEC: 4 } as const;
const MAP = { MAP_PRIVATE: 0x2, MAP_FIXED: 0x10, MAP_ANONYMOUS: 0x20 } as const;
const CLOCK_MONOTONIC = 1;

/** mmap(2): a file's first `size` bytes, private and writable, at exactly that address. */
export function mmap(address: bigint, size: number, fd: Fd): Call<number> {
  const protection = flags(PROT.PROT_READ | PROT.PROT_WRITE, PROT);
  return call(
    "mmap",
    address,
    size,
    protection,
    flags(MAP.MAP_PRIVATE | MAP.MAP_FIXED, MAP),
    fd,
    0,
  );
}

/** mmap(2): new memory, readable and writable, somewhere; its address. */
export function mmapAnonymous(size: number): Call<number> {
  const protection = flags(PROT.PROT_READ | PROT.PROT_WRITE, PROT);
  const how = flags(MAP.MAP_PRIVATE | MAP.MAP_ANONYMOUS, MAP);
  return call("mmap", 0, size, protection, how, -1, 0);
}

/** mprotect(2). EACCES: a security module forbids it (SELinux, execmem). */
export function mprotect(address: bigint, size: number, protection: number): Call<void> {
  return effect("mprotect", address, size, flags(protection, PROT));
}

/** munmap(2). */
export function munmap(address: bigint, size: number): Call<void> {
  return effect("munmap", address, size);
}

/** clock_gettime(2) of CLOCK_MONOTONIC into a struct timespec of 16 bytes. */
export function clock_gettime(time: Struct): Call<void> {
  return effect("clock_gettime", CLOCK_MONOTONIC, time);
}

/** The nanoseconds in a struct timespec that the kernel has filled. */
export function nanoseconds(time: Struct): bigint {
  const view = time.view();
  return view.getBigInt64(0, true) * 1_000_000_000n + view.getBigInt64(8, true);
}
