import type { LinuxCPU, LinuxMemory, LinuxResources } from "../spec/types.ts";
import { ValidationError } from "../spec/validation_error.ts";
import type { Setting } from "./setting.ts";
import { cpusetSettings, pidsSettings, type Settings } from "./resources_v1.ts";

/** The period of cpu.max when only a quota is given, in microseconds (cgroup-v2.rst, cpu.max). */
const DEFAULT_PERIOD_US = 100000n;

/**
 * The files of cgroup v2 that `linux.resources` asks for, whose words are those of v1. Devices are not among them
 * (`device_program.ts`). What v2 cannot do is refused. Source: Documentation/admin-guide/cgroup-v2.rst.
 *
 * @throws {ValidationError}
 */
export function settingsV2(resources: LinuxResources): Settings {
  const { memory, cpu, pids } = resources;
  return {
    early: cpu === undefined ? [] : cpusetSettings(cpu),
    late: [
      ...(memory === undefined ? [] : memorySettings(memory)),
      ...(cpu === undefined ? [] : cpuSettings(cpu)),
      ...pidsSettings(pids?.limit),
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

function memorySettings(memory: LinuxMemory): Setting[] {
  const { limit, swap, reservation, swappiness, disableOOMKiller } = memory;
  if (swappiness !== undefined) refuse("memory.swappiness", "has no swappiness of a cgroup");
  if (disableOOMKiller) refuse("memory.disableOOMKiller", "cannot switch the OOM killer off");
  const settings: Setting[] = [];
  const add = (name: string, file: string, value: bigint, more: Partial<Setting> = {}) => {
    const field = `linux.resources.memory.${name}`;
    settings.push({ field, controller: "memory", file, value: limited(value), ...more });
  };
  const swapMax = swapOnly(swap, limit);
  if (swapMax !== undefined) {
    // Without swap in the kernel there is no file, and neither "none" nor "any amount" needs one.
    const optional: Partial<Setting> = swapMax <= 0n ? { optional: true } : {};
    add("swap", "memory.swap.max", swapMax, optional);
  }
  if (limit !== undefined) add("limit", "memory.max", limit);
  if (reservation !== undefined) add("reservation", "memory.low", reservation);
  return settings;
}

function cpuSettings({ shares, quota, period, realtimePeriod, realtimeRuntime }: LinuxCPU) {
  if (realtimePeriod !== undefined) refuse("cpu.realtimePeriod", "has no real-time bandwidth");
  if (realtimeRuntime !== undefined) refuse("cpu.realtimeRuntime", "has no real-time bandwidth");
  const settings: Setting[] = [];
  const add = (name: string, file: string, value: string) => {
    settings.push({ field: `linux.resources.cpu.${name}`, controller: "cpu", file, value });
  };
  if (shares !== undefined) add("shares", "cpu.weight", String(weightOfShares(shares)));
  if (quota !== undefined || period !== undefined) {
    const name = quota !== undefined ? "quota" : "period";
    add(name, "cpu.max", `${limited(quota ?? -1n)} ${period ?? DEFAULT_PERIOD_US}`);
  }
  return settings;
}

function limited(value: bigint): string {
  return value === -1n ? "max" : String(value);
}

function refuse(field: string, problem: string): never {
  throw new ValidationError(`linux.resources.${field}`, `cgroup v2 ${problem}`);
}
