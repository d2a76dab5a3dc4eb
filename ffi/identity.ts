/**
 * Naming a process across two runs of belay, by the best means that the kernel has. The record is what state.json
 * keeps; a process number is in it only as a label, or as a place to look at.
 *
 * @module
 */
import type { Kernel } from "./kernel.ts";
import { Pidfd } from "./pidfd.ts";
import { IDENTITY_LADDER, type Mark, type Rung } from "./identity_ladder.ts";
import { close, openat, read, readlinkat } from "./syscalls/file.ts";
import { AT_FDCWD, O } from "./abi/file_flags.ts";
import { isSyscallError } from "./syscall_error.ts";

export type { Rung } from "./identity_ladder.ts";

/** A process, by name: plain JSON. */
export interface Identity {
  /** /proc/sys/kernel/random/boot_id when it was taken: no process survives a boot. */
  readonly bootId: string;
  /** The pid namespace in which `pid` counts, as `pid:[4026531836]`; empty when there was no /proc. */
  readonly pidNamespace: string;
  /** The process's number: a label, and where to look on the rungs below "handle". */
  readonly pid: number;
  /** What `mark` is. */
  readonly rung: Rung;
  /**
   * "handle": type and bytes of the pidfs file handle, `254:1387000000000000`.
   * "inode": the pidfs inode number, unique for one boot.
   * "start time": field 22 of /proc/PID/stat, clock ticks since boot.
   */
  readonly mark: string;
}

/** Whether the process still exists cannot be told from here: the identity was taken in another pid namespace. */
export class IdentityOutOfSight extends Error {
  /** For messages and stacks. */
  override readonly name = "IdentityOutOfSight";
}

/**
 * Names a process that is held, running or zombie, for other runs of belay.
 * @param best The highest rung to take: for tests, which must see the lower ones work.
 * @throws SyscallError ESRCH when the process is gone already and only its number would be left.
 */
export function identify(kernel: Kernel, pidfd: Pidfd, best: Rung = "handle"): Identity {
  const common = {
    bootId: bootId(kernel),
    pidNamespace: pidNamespace(kernel),
    pid: pidfd.pid,
  };
  const names = Object.keys(IDENTITY_LADDER) as Rung[];
  for (const rung of names.slice(names.indexOf(best))) {
    const mark = IDENTITY_LADDER[rung].take(kernel, pidfd);
    if (mark !== undefined) return { ...common, rung, mark };
  }
  throw new Error(`process ${pidfd.pid}: no rung of the identity ladder holds; is /proc mounted?`);
}

/**
 * The very process that was named, held; it may be a zombie by now (`alive()` tells). Undefined when it is gone:
 * reaped, or of another boot, whatever its number means today.
 * @throws IdentityOutOfSight when it was named in another pid namespace and is not found from this one.
 */
export function reopen(kernel: Kernel, identity: Identity): Pidfd | undefined {
  if (identity.bootId !== bootId(kernel)) return undefined;
  const elsewhere = identity.pidNamespace !== "" && identity.pidNamespace !== pidNamespace(kernel);
  const fd = open(kernel, identity, elsewhere);
  if (fd !== undefined) return new Pidfd(kernel, fd, identity.pid);
  if (!elsewhere) return undefined;
  throw new IdentityOutOfSight(
    `process ${identity.pid} was named in ${identity.pidNamespace}, and this is another pid namespace: ` +
      `whether it is gone cannot be told from here`,
  );
}

function open(kernel: Kernel, identity: Identity, elsewhere: boolean): number | undefined {
  const { rung, mark, pid } = identity;
  const names = Object.keys(IDENTITY_LADDER) as Rung[];
  // Where a rung is refused (seccomp forbids open_by_handle_at, say), the mark may serve the next one.
  for (const lower of names.slice(names.indexOf(rung))) {
    // In another pid namespace the number leads to a stranger, or to nobody.
    if (elsewhere && lower !== "handle") return undefined;
    const found = IDENTITY_LADDER[lower].open(kernel, { rung, mark, pid } satisfies Mark);
    if (found !== "refused") return found;
  }
  throw new Error(`process ${pid}: the kernel refuses to open it by its ${rung} (${mark})`);
}

function bootId(kernel: Kernel): string {
  const fd = kernel.call(openat(AT_FDCWD, "/proc/sys/kernel/random/boot_id", O.O_RDONLY));
  try {
    return new TextDecoder().decode(kernel.call(read(fd, 64))).trim();
  } finally {
    kernel.call(close(fd));
  }
}

function pidNamespace(kernel: Kernel): string {
  try {
    return kernel.call(readlinkat(AT_FDCWD, "/proc/self/ns/pid"));
  } catch (error) {
    // The /proc that is mounted belongs to a pid namespace in which this process has no number.
    if (isSyscallError(error, "ENOENT")) return "";
    throw error;
  }
}
