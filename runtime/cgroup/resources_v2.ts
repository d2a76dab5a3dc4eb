import type { LinuxCPU, LinuxMemory, LinuxResources } from "../spec/types.ts";
import { ValidationError } from "../spec/validation_error.ts";
import { blockIOSettingsV2 } from "./block_io.ts";
import {
  hugetlbSettings,
  rdmaSettings,
  refuseNetwork,
  unifiedSettings,
} from "./more_controllers.ts";
import { cpusetSettings, pidsSettings, type Settings, withIdle } from "./resources_v1.ts";
import type { Setting } from "./setting.ts";

/** The period of cpu.max when only a quota is given, in microseconds (cgroup-v2.rst, cpu.max). */
const DEFAULT_PERIOD_US = 100000n;

/** What a cgroup has now, for values that mean something only together. */
export interface Present {
  /** memory.max; -1 is unlimited. */
  readonly memoryMax: bigint;
  /** cpu.max; a quota of -1 is unlimited. */
  readonly quota: bigint;
  readonly period: bigint;
}

/** A cgroup that nobody has limited. */
const FRESH: Present = { memoryMax: -1n, quota: -1n, period: DEFAULT_PERIOD_US };

/**
 * The files of cgroup v2 that `linux.resources` asks for, whose words are those of v1. Devices are not among them
 * (`device_program.ts`). What v2 cannot do is refused. Source: Documentation/admin-guide/cgroup-v2.rst.
 *
 * @param present What is there already, of a container that is changed and not made.
 * @throws {ValidationError}
 */
export function settingsV2(resources: LinuxResources, present: Present = FRESH): Settings {
  const { memory, cpu, pids, blockIO, network } = resources;
  if (network !== undefined) refuseNetwork(network);
  return {
    early: cpu === undefined ? [] : cpusetSettings(cpu),
    late: [
      ...(memory === undefined ? [] : memorySettings(memory, present)),
      ...(cpu === undefined ? [] : cpuSettings(cpu, present)),
      ...pidsSettings(pids?.limit),
      ...(blockIO === undefined ? [] : blockIOSettingsV2(blockIO)),
      ...hugetlbSettings(resources, 2),
      ...rdmaSettings(resources),
      ...unifiedSettings(resources),
    ],
  };
}

/**
 * cpu.weight (1 to 10000, 100 by default) for cpu.shares (2 to 262144, 1024 by default): the curve through those
 * three points that runc 1.3 and crun 1.23 agreed upon, `10^(l²/612 + 125 l/612 - 7/34)` with l = log₂(shares).
 */
export function weightOfShares(shares: bigint): bigint {
  if (shares <= 2n) return 1n;
  if (shares >= 262144n) return 10000n;
  const log = Math.log2(Number(shares));
  return BigInt(Math.ceil(10 ** ((log * log + 125 * log) / 612 - 7 / 34)));
}

/** memory.swap.max, which counts swap alone, for `memory.swap`, which counts memory and swap together. */
export function swapOnly(swap: bigint | undefined, limit: bigint | undefined): bigint | undefined {
  if (swap === undefined) return limit === -1n ? -1n : undefined;
  if (swap === -1n || limit === undefined || limit === -1n) return swap;
  return swap - limit;
}

function memorySettings(memory: LinuxMemory, { memoryMax }: Present): Setting[] {
  const { limit, swap, reservation, swappiness, disableOOMKiller, checkBeforeUpdate } = memory;
  if (swappiness !== undefined) refuse("memory.swappiness", "has no swappiness of a cgroup");
  if (disableOOMKiller) refuse("memory.disableOOMKiller", "cannot switch the OOM killer off");
  const settings: Setting[] = [];
  const add = (name: string, file: string, value: bigint, more: Partial<Setting> = {}) => {
    const field = `linux.resources.memory.${name}`;
    settings.push({ field, controller: "memory", file, value: limited(value), ...more });
  };
  const check = (total: bigint): Partial<Setting> =>
    checkBeforeUpdate && total > 0n ? { checked: { file: "memory.current", limit: total } } : {};
  const total = limit ?? memoryMax;
  if (swap !== undefined && swap > 0n && (total === -1n || swap < total)) {
    throw new ValidationError(
      "linux.resources.memory.swap",
      "counts memory and swap together and must be at least the memory limit, " +
        (total === -1n ? "of which there is none" : `got ${swap} and ${total}`),
    );
  }
  const swapMax = swapOnly(swap, total);
  // What was not asked for stays, but for "unlimited", which runc reads as memory and swap.
  if (swapMax !== undefined && (swap !== undefined || limit === -1n)) {
    // Without swap in the kernel there is no file, and neither "none" nor "any amount" needs one.
    const optional: Partial<Setting> = swapMax <= 0n ? { optional: true } : {};
    add("swap", "memory.swap.max", swapMax, { ...optional, ...check(swap ?? -1n) });
  }
  if (limit !== undefined) add("limit", "memory.max", limit, check(limit));
  if (reservation !== undefined) add("reservation", "memory.low", reservation);
  return settings;
}

function cpuSettings(cpu: LinuxCPU, present: Present): Setting[] {
  const { shares, quota, period, burst, idle, realtimePeriod, realtimeRuntime } = cpu;
  if (realtimePeriod !== undefined) refuse("cpu.realtimePeriod", "has no real-time bandwidth");
  if (realtimeRuntime !== undefined) refuse("cpu.realtimeRuntime", "has no real-time bandwidth");
  const setting = (name: string, file: string, value: string, more: Partial<Setting> = {}) => ({
    ...{ field: `linux.resources.cpu.${name}`, controller: "cpu", file, value },
    ...more,
  });
  const settings: Setting[] = withIdle(
    shares === undefined ? [] : [setting("shares", "cpu.weight", String(weightOfShares(shares)))],
    idle,
  );
  if (quota !== undefined || period !== undefined) {
    const name = quota !== undefined ? "quota" : "period";
    const value = `${limited(quota ?? present.quota)} ${period ?? present.period}`;
    const compared: Partial<Setting> = burst === undefined ? {} : { comparedWithNext: true };
    settings.push(setting(name, "cpu.max", value, compared));
  }
  if (burst !== undefined) settings.push(setting("burst", "cpu.max.burst", String(burst)));
  return settings;
}

function limited(value: bigint): string {
  return value === -1n ? "max" : String(value);
}

function refuse(field: string, problem: string): never {
  throw new ValidationError(`linux.resources.${field}`, `cgroup v2 ${problem}`);
}
