import type { Kernel } from "../../ffi/kernel.ts";
import { readFile } from "../../ffi/files.ts";
import { AT_FDCWD } from "../../ffi/abi/file_flags.ts";
import { attempt } from "../../ffi/call.ts";
import type { SyscallError } from "../../ffi/syscall_error.ts";
import { flagsKnown, SECCOMP_FILTER_FLAG } from "../../ffi/syscalls/seccomp.ts";
import { notifies } from "../spec/seccomp_schema.ts";
import type { LinuxSeccomp } from "../spec/types.ts";
import { ValidationError } from "../spec/validation_error.ts";
import type { SeccompState } from "../state/state_file.ts";
import { FilterCache } from "./filter_cache.ts";

/** A compiled profile. */
export interface PreparedSeccomp {
  /** The program, which the container's directory keeps for `start` and `exec`. */
  readonly filter: Uint8Array;
  /** The rest, which the state file keeps. */
  readonly state: SeccompState;
}

/**
 * Compiles `linux.seccomp`, or finds what was compiled before.
 * @param privileged Whether the container's process may install a filter without no_new_privs.
 * @throws ValidationError for a profile that cannot be had, or with which no program could begin.
 */
export async function prepareSeccomp(
  kernel: Kernel,
  profile: LinuxSeccomp,
  options: { readonly noNewPrivileges: boolean; readonly privileged: boolean },
): Promise<PreparedSeccomp> {
  if (!options.noNewPrivileges && !options.privileged) {
    throw new ValidationError(
      "linux.seccomp",
      "needs process.noNewPrivileges, or CAP_SYS_ADMIN, which belay itself does not have",
    );
  }
  const flags = kernelFlags(kernel, profile.flags);
  const filter = await findOrCompile(kernel, profile);
  const notify = notifies(profile.defaultAction, profile.syscalls);
  const { listenerPath, listenerMetadata } = profile;
  return {
    filter,
    state: {
      flags,
      ...(!notify || listenerPath === undefined ? {} : {
        listener: {
          path: listenerPath,
          ...(listenerMetadata === undefined ? {} : { metadata: listenerMetadata }),
        },
      }),
    },
  };
}

/**
 * The flags as seccomp(2) takes them. Without TSYNC: there is one thread, and nothing to be synchronised.
 * @throws ValidationError for one that this kernel does not know.
 */
function kernelFlags(kernel: Kernel, names: LinuxSeccomp["flags"]): number {
  if (names === undefined) return takes(kernel, SPEC_ALLOW) instanceof Error ? 0 : SPEC_ALLOW;
  let sum = 0;
  names.forEach((name, i) => {
    if (name === "SECCOMP_FILTER_FLAG_TSYNC") return;
    const flag = SECCOMP_FILTER_FLAG[name];
    const cause = takes(kernel, flag);
    if (cause !== undefined) {
      const problem = `this kernel does not take ${name}`;
      throw new ValidationError(`linux.seccomp.flags[${i}]`, problem, { cause });
    }
    sum |= flag;
  });
  return sum;
}

/** Without it a filter makes the processor slower where a mitigation is tied to filters; runc and crun set it, too. */
const SPEC_ALLOW = SECCOMP_FILTER_FLAG.SECCOMP_FILTER_FLAG_SPEC_ALLOW;

/** Why the kernel does not take a flag; undefined when it does. */
function takes(kernel: Kernel, flag: number): SyscallError | undefined {
  const answer = kernel.call(attempt(flagsKnown(flag)));
  return answer instanceof Error && !answer.is("EFAULT") ? answer : undefined;
}

async function findOrCompile(kernel: Kernel, profile: LinuxSeccomp): Promise<Uint8Array> {
  using cache = FilterCache.open(kernel);
  const { defaultAction, defaultErrnoRet, architectures, syscalls } = profile;
  const what = { defaultAction, defaultErrnoRet, architectures, syscalls };
  const text = `${Deno.build.arch} ${Deno.osRelease()} ${JSON.stringify(what)}`;
  const found = cache?.find({ text });
  if (found !== undefined) return found;
  const { compileFilter } = await import("./compile_filter.ts");
  const made = compileFilter(profile);
  const library = cache && libraryPath(kernel);
  if (library !== undefined) cache?.keep({ text }, made, library);
  return made;
}

/** Its name in the memory map of who has opened it. */
const LIBRARY = "libseccomp.so.2";

/** Where the library lies that this process has opened; undefined when that cannot be told. */
function libraryPath(kernel: Kernel): string | undefined {
  const maps = readFile(kernel, AT_FDCWD, "/proc/self/maps");
  return maps.split("\n").find((line) => line.includes(`/${LIBRARY}`))?.replace(/^[^/]*/, "");
}
