import type { Kernel } from "../../ffi/kernel.ts";
import { PER, personality } from "../../ffi/syscalls/process.ts";
import { SyscallError } from "../../ffi/syscall_error.ts";
import { ValidationError } from "../spec/validation_error.ts";

/** The number of an execution domain of `linux.personality`. */
export function personalityOf({ domain }: { readonly domain: "LINUX" | "LINUX32" }): number {
  return domain === "LINUX32" ? PER.PER_LINUX32 : PER.PER_LINUX;
}

/** Takes on an execution domain, which fork and execve hand on. @throws ValidationError where the processor cannot. */
export function takePersonality(process: Kernel, domain: number): void {
  try {
    process.call(personality(domain));
  } catch (cause) {
    if (!(cause instanceof SyscallError)) throw cause;
    throw new ValidationError("linux.personality.domain", "is refused by the kernel", { cause });
  }
}
