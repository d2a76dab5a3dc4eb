import type { Kernel } from "../../ffi/kernel.ts";
import { type Call, tolerate } from "../../ffi/call.ts";
import { type CapabilitySets, capget, capset } from "../../ffi/syscalls/credentials.ts";
import { prctl } from "../../ffi/syscalls/process.ts";
import { PR, PR_CAP_AMBIENT } from "../../ffi/abi/process_flags.ts";
import { AT_FDCWD } from "../../ffi/abi/file_flags.ts";
import { readFile } from "../../ffi/files.ts";
import { CAPABILITY_NAMES } from "../spec/capability_names.ts";
import type { LinuxCapabilities } from "../spec/types.ts";
import { ValidationError } from "../spec/validation_error.ts";

/** Capability sets as bits, with the ambient set as numbers. */
export interface WantedCapabilities extends CapabilitySets {
  readonly bounding: bigint;
  readonly ambient: readonly number[];
}

/** The bit of CAP_SYS_ADMIN. */
export const CAP_SYS_ADMIN = 1n << 21n;

/** The number of a capability: its place in the kernel's list (linux/capability.h). */
function bit(name: string): bigint {
  return 1n << BigInt(CAPABILITY_NAMES.indexOf(name));
}

function bits(names: readonly string[]): bigint {
  return names.reduce((set, name) => set | bit(name), 0n);
}

/** The sets of `process.capabilities` in the kernel's form. */
export function wantedCapabilities(capabilities: LinuxCapabilities): WantedCapabilities {
  return {
    effective: bits(capabilities.effective),
    permitted: bits(capabilities.permitted),
    inheritable: bits(capabilities.inheritable),
    bounding: bits(capabilities.bounding),
    ambient: capabilities.ambient.map((name) => CAPABILITY_NAMES.indexOf(name)),
  };
}

/** The highest capability that this kernel knows (/proc/sys/kernel/cap_last_cap). */
export function lastCapability(kernel: Kernel): number {
  return Number(readFile(kernel, AT_FDCWD, "/proc/sys/kernel/cap_last_cap"));
}

/**
 * Refuses what belay cannot give because it does not have it, before anything is made. In a new user namespace the
 * container's process starts with all capabilities, so nothing is refused there.
 * @throws ValidationError naming the entry, `process.capabilities.permitted[3]`.
 */
export function checkCapabilities(kernel: Kernel, capabilities: LinuxCapabilities): void {
  const { permitted } = kernel.call(capget());
  for (const set of ["bounding", "permitted", "effective", "inheritable"] as const) {
    capabilities[set].forEach((name, index) => {
      if (permitted & bit(name)) return;
      const why = `${name} cannot be given: belay itself does not have it`;
      throw new ValidationError(`process.capabilities.${set}[${index}]`, why);
    });
  }
}

/** Drops everything from the bounding set that is not wanted. Needs CAP_SETPCAP, so it comes before `setCapabilities`. */
export function dropBounding(wanted: WantedCapabilities, last: number): Call<unknown>[] {
  const calls: Call<unknown>[] = [];
  for (let capability = 0; capability <= last; capability++) {
    if (wanted.bounding & (1n << BigInt(capability))) continue;
    calls.push(prctl(PR.PR_CAPBSET_DROP, capability));
  }
  return calls;
}

/**
 * Sets the sets of the process, which has changed its user ids by now and kept its permitted set (PR_SET_KEEPCAPS).
 * @param admin Whether it keeps CAP_SYS_ADMIN until its execve, to install a filter. The program does not get it from
 * that: execve makes the permitted set anew, from inheritable, bounding and ambient ones (capabilities(7)), which do not
 * have it unless config.json says so.
 */
export function setCapabilities(wanted: WantedCapabilities, admin: boolean): Call<unknown>[] {
  const { effective, permitted, inheritable } = wanted;
  const more = admin ? CAP_SYS_ADMIN : 0n;
  return [
    capset({ effective: effective | more, permitted: permitted | more, inheritable }),
    prctl(PR.PR_CAP_AMBIENT, PR_CAP_AMBIENT.PR_CAP_AMBIENT_CLEAR_ALL),
    ...wanted.ambient.map((capability) =>
      tolerate(
        prctl(PR.PR_CAP_AMBIENT, PR_CAP_AMBIENT.PR_CAP_AMBIENT_RAISE, capability),
        ["EPERM"],
        "not permitted and inheritable both: the parser has warned of it by name",
      )
    ),
  ];
}
