// What the tests of linux.seccomp have in common.
import { noLibrary, type Obstacle } from "../skip.ts";
import type { Bundle } from "./contained.ts";
import { type Abi, rawSyscall } from "./raw_syscall.ts";

/** Error numbers (asm-generic/errno.h). */
export const EPERM = 1;
export const ENOENT = 2;
export const ENOSYS = 38;
/** What a shell and belay make of a death by SIGSYS. */
export const SIGSYS_CODE = 128 + 31;

/** For tests that need libseccomp. */
export function noLibseccomp(): Obstacle {
  return noLibrary("libseccomp.so.2", "libseccomp2");
}

/** A profile that does something to some system calls and allows the rest. */
export function only(action: string, names: readonly string[], more: object = {}): object {
  return { defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names, action, ...more }] };
}

let count = 0;

/** Runs a program that makes one system call under a profile; the error number, or 128 + the signal. */
export async function called(
  bundle: Bundle,
  seccomp: object,
  nr: number,
  args: readonly (number | bigint | string)[] = [],
  abi: Abi = "x86_64",
): Promise<number> {
  bundle.config.linux.seccomp = seccomp;
  const program = `probe-${++count}`;
  Deno.writeFileSync(`${bundle.rootfs}/${program}`, rawSyscall(nr, args, abi), { mode: 0o755 });
  const { code, stderr } = await bundle.run([`/${program}`]);
  if (stderr !== "") throw new Error(stderr);
  return code;
}
