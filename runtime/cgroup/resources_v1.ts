import type { LinuxCPU, LinuxMemory, LinuxResources } from "../spec/types.ts";
import { ValidationError } from "../spec/validation_error.ts";
import { blockIOSettingsV1 } from "./block_io.ts";
import {
  hugetlbSettings,
  networkSettings,
  rdmaSettings,
  refuseUnified,
} from "./more_controllers.ts";
import type { Setting } from "./setting.ts";

/** The settings that a cgroup needs, by when they are written. */
export interface Settings {
  /** What decides whether a process may enter: before the first does. */
  readonly early: readonly Setting[];
  /** What limits the processes: once the container is set up, before anything of its image or its hooks runs. */
  readonly late: readonly Setting[];
}

/** The kernel silently brings shares into these bounds (kernel/sched/sched.h, MIN_SHARES and MAX_SHARES). */
const SHARES_MIN = 2n;
const SHARES_MAX = 262144n;

/**
 * The files of cgroup v1 that `linux.resources` asks for; devices are not among them (`device_list.ts`). -1 is
 * unlimited there, too. Sources: Documentation/admin-guide/cgroup-v1/{memory,cpusets,pids}.rst,
 * Documentation/scheduler/{sched-bwc,sched-rt-group}.rst.
 *
 * @throws {ValidationError}
 */
export function settingsV1(resources: LinuxResources): Settings {
  const { memory, cpu, pids, blockIO, network } = resources;
  refuseUnified(resources);
  const early: Setting[] = cpu === undefined ? [] : [...cpusetSettings(cpu), ...realtime(cpu)];
  const late: Setting[] = [
    ...(memory === undefined ? [] : memorySettings(memory)),
    ...(cpu === undefined ? [] : cpuSettings(cpu)),
    ...pidsSettings(pids?.limit),
    ...(blockIO === undefined ? [] : blockIOSettingsV1(blockIO)),
    ...hugetlbSettings(resources, 1),
    ...(network === undefined ? [] : networkSettings(network)),
    ...rdmaSettings(resources),
  ];
  return { early, late };
}

/** cpuset.cpus and cpuset.mems, which both versions have. */
export function cpusetSettings({ cpus, mems }: LinuxCPU): Setting[] {
  const settings: Setting[] = [];
  for (const [name, value] of [["cpus", cpus], ["mems", mems]] as const) {
    if (value === undefined) continue;
    const field = `linux.resources.cpu.${name}`;
    settings.push({ field, controller: "cpuset", file: `cpuset.${name}`, value });
  }
  return settings;
}

/** pids.max, which both versions have. 0 is 1, as with runc: the container has its first process in any case. */
export function pidsSettings(limit: bigint | undefined): Setting[] {
  if (limit === undefined) return [];
  const value = limit === -1n ? "max" : limit === 0n ? "1" : String(limit);
  return [{ field: "linux.resources.pids.limit", controller: "pids", file: "pids.max", value }];
}

/** Real-time bandwidth comes early: a process with SCHED_FIFO or SCHED_RR may not enter a cgroup without any. */
function realtime({ realtimePeriod, realtimeRuntime }: LinuxCPU): Setting[] {
  return cpuFiles([
    ["realtimePeriod", "cpu.rt_period_us", realtimePeriod],
    ["realtimeRuntime", "cpu.rt_runtime_us", realtimeRuntime],
  ]);
}

function cpuSettings({ shares, period, quota, burst, idle }: LinuxCPU): Setting[] {
  if (shares !== undefined && (shares < SHARES_MIN || shares > SHARES_MAX)) {
    throw new ValidationError(
      "linux.resources.cpu.shares",
      `must be from ${SHARES_MIN} to ${SHARES_MAX} on cgroup v1, got ${shares}`,
    );
  }
  const weight = cpuFiles([["shares", "cpu.shares", shares]]);
  return [
    ...withIdle(weight, idle),
    ...cpuFiles([
      ["period", "cpu.cfs_period_us", period],
      ["quota", "cpu.cfs_quota_us", quota],
      ["burst", "cpu.cfs_burst_us", burst],
    ]),
  ];
}

/**
 * cpu.idle, which both versions have, around the weight: an idle cgroup has none, and the kernel refuses to give it
 * one (kernel/sched/fair.c, sched_group_set_shares).
 */
export function withIdle(weight: readonly Setting[], idle: number | undefined): Setting[] {
  if (idle === undefined) return [...weight];
  const field = "linux.resources.cpu.idle";
  const setting = { field, controller: "cpu", file: "cpu.idle", value: String(idle) };
  return idle === 0 ? [setting, ...weight] : [...weight, setting];
}

/** Values of one group, each compared by the kernel with the one after it. */
function cpuFiles(
  values: readonly [name: string, file: string, value: bigint | undefined][],
): Setting[] {
  const wanted = values.filter(([, , value]) => value !== undefined);
  return wanted.map(([name, file, value], index) => ({
    field: `linux.resources.cpu.${name}`,
    controller: "cpu",
    file,
    value: String(value),
    ...(index < wanted.length - 1 ? { comparedWithNext: true } : {}),
  }));
}

function memorySettings(memory: LinuxMemory): Setting[] {
  const settings: Setting[] = [];
  const add = (name: string, file: string, value: string, more: Partial<Setting> = {}) => {
    const field = `linux.resources.memory.${name}`;
    settings.push({ field, controller: "memory", file: `memory.${file}`, value, ...more });
  };
  const { limit, swap, reservation, swappiness, disableOOMKiller, useHierarchy } = memory;
  // Since kernel 5.11 it is 1 and cannot be anything else; before, only an empty cgroup can change it.
  if (useHierarchy) add("useHierarchy", "use_hierarchy", "1");
  // Unlimited memory with limited swap cannot be: the latter counts both.
  const both = swap ?? (limit === -1n ? -1n : undefined);
  if (limit !== undefined) {
    const compared: Partial<Setting> = both === undefined ? {} : { comparedWithNext: true };
    add("limit", "limit_in_bytes", String(limit), compared);
  }
  // memory.memsw.* come with swap accounting; without it nothing limits swap.
  const optional: Partial<Setting> = both === -1n ? { optional: true } : {};
  if (both !== undefined) add("swap", "memsw.limit_in_bytes", String(both), optional);
  if (reservation !== undefined) add("reservation", "soft_limit_in_bytes", String(reservation));
  if (disableOOMKiller) {
    const readBack = (text: string) => /oom_kill_disable (\d)/.exec(text)?.[1] ?? "0";
    add("disableOOMKiller", "oom_control", "1", { readBack });
  }
  if (swappiness !== undefined) add("swappiness", "swappiness", String(swappiness));
  return settings;
}
