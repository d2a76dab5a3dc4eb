import type { Kernel } from "../../ffi/kernel.ts";
import { modeOf } from "./cgroup_mode.ts";
import type { CgroupDirectory } from "./cgroup_plan.ts";
import { statsV1 } from "./stats_v1.ts";
import { statsV2 } from "./stats_v2.ts";

/** How one kind of memory is used, in bytes. */
export interface MemoryEntry {
  readonly limit: bigint;
  readonly usage?: bigint;
  readonly max?: bigint;
  readonly failcnt: bigint;
}

/** A line of a block device's statistics. */
export interface BlkioEntry {
  readonly major?: bigint;
  readonly minor?: bigint;
  readonly op?: string;
  readonly value?: bigint;
}

/** What `events --stats` prints as `data`: runc's names (its types/events.go), whose zeros are left out. */
export interface Stats {
  /** Nanoseconds. */
  readonly cpu: {
    readonly usage: {
      readonly total?: bigint;
      readonly percpu?: readonly bigint[];
      readonly percpu_kernel?: readonly bigint[];
      readonly percpu_user?: readonly bigint[];
      readonly kernel: bigint;
      readonly user: bigint;
    };
    readonly throttling: {
      readonly periods?: bigint;
      readonly throttledPeriods?: bigint;
      readonly throttledTime?: bigint;
    };
  };
  readonly cpuset: Readonly<Record<string, bigint | readonly number[]>>;
  readonly memory: {
    readonly cache?: bigint;
    readonly usage: MemoryEntry;
    /** Memory and swap together, on cgroup v2, too. */
    readonly swap: MemoryEntry;
    readonly kernel: MemoryEntry;
    readonly kernelTCP: MemoryEntry;
    readonly raw?: Readonly<Record<string, bigint>>;
  };
  readonly pids: { readonly current?: bigint; readonly limit?: bigint };
  readonly blkio: Readonly<Record<string, readonly BlkioEntry[]>>;
  readonly hugetlb: Readonly<
    Record<string, { readonly usage?: bigint; readonly max?: bigint; readonly failcnt: bigint }>
  >;
  readonly intel_rdt: Readonly<Record<never, never>>;
  /** runc counts networks that it has made itself, which is none in a container of an OCI bundle. */
  readonly network_interfaces: null;
}

/** What a container has used so far. What this kernel does not count is 0. @throws SyscallError */
export function readStats(kernel: Kernel, directories: readonly CgroupDirectory[]): Stats {
  return modeOf(directories) === "v1" ? statsV1(kernel, directories) : statsV2(kernel, directories);
}
