import type { Kernel } from "../../ffi/kernel.ts";
import { attempt } from "../../ffi/call.ts";
import { libseccompVersion } from "../../ffi/libseccomp.ts";
import { flagsKnown, SECCOMP_FILTER_FLAG } from "../../ffi/syscalls/seccomp.ts";
import type { Logger } from "../log/logger.ts";
import { archToken } from "../seccomp/compile_filter.ts";
import type { SeccompHere } from "./oci_features.ts";

/** A flag that this kernel does not know; a kernel, or a sandbox around belay, in which nobody makes filters. */
const NOT_TAKEN = ["EINVAL", "ENOSYS", "EPERM"] as const;

/** Asks libseccomp and the kernel; undefined, with a line in the log, where there is no libseccomp. */
export function seccompHere(kernel: Kernel, log: Logger): SeccompHere | undefined {
  let libseccomp: string;
  try {
    libseccomp = libseccompVersion();
  } catch (error) {
    // The dynamic linker's words: it is what is to be found out.
    log.info(`no seccomp: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  }
  return {
    libseccomp,
    knowsArch: (name) => archToken(name) !== 0,
    takesFlag(name) {
      if (name === "SECCOMP_FILTER_FLAG_TSYNC") return true; // belay does without: see prepare_seccomp.ts
      const flag = SECCOMP_FILTER_FLAG[name as keyof typeof SECCOMP_FILTER_FLAG];
      const answer = kernel.call(attempt(flagsKnown(flag)));
      // Without a program it never succeeds: what is wrong with it says whether the flag would have been.
      if (answer instanceof Error && !answer.is("EFAULT", ...NOT_TAKEN)) throw answer;
      return answer instanceof Error && answer.is("EFAULT");
    },
  };
}
