import { type DbusValue, Variant } from "../../ffi/dbus/encode.ts";
import { DEVICE_ACCESS, type DeviceList } from "../cgroup/device_list.ts";
import { swapOnly, weightOfShares } from "../cgroup/resources_v2.ts";
import type { LinuxResources } from "../spec/types.ts";
import { ValidationError } from "../spec/validation_error.ts";

/** A unit's properties, as StartTransientUnit and SetUnitProperties take them: `a(sv)`. */
export type UnitProperties = readonly (readonly [name: string, value: Variant])[];

/** The limits that systemd has words for. */
export type UnitResources = Pick<LinuxResources, "memory" | "cpu" | "pids" | "blockIO">;

/** systemd's "infinity" (CGROUP_LIMIT_MAX, USEC_INFINITY). */
const INFINITY = 0xffff_ffff_ffff_ffffn;
/** The kernel's, when a quota has no period (sched-bwc.rst). */
const DEFAULT_PERIOD_US = 100_000n;
const SECOND_US = 1_000_000n;
/** systemd counts CPU quotas in 10 ms (man systemd.resource-control, CPUQuota=). */
const QUOTA_STEP_US = 10_000n;
/** The first systemd with CPUQuotaPeriodUSec, and the first with AllowedCPUs (systemd's NEWS). */
const SINCE_QUOTA_PERIOD = 242;
const SINCE_ALLOWED_CPUS = 244;

/**
 * What systemd is to know of the limits, so that it does not write others when it is reloaded: those that runc tells
 * it, too. All limits, also these, are written by belay afterwards: systemd rounds, and has no word for many.
 * @param mode The cgroup version that limits; systemd's words differ.
 * @param version systemd's.
 */
export function resourceProperties(
  { memory, cpu, pids, blockIO }: UnitResources,
  mode: "v1" | "v2" | "none",
  version: number,
): UnitProperties {
  const unified = mode === "v2";
  const { limit, reservation, swap } = memory ?? {};
  const swapMax = swap === undefined && limit !== -1n ? undefined : swapOnly(swap, limit);
  const { shares, quota, period, cpus, mems } = cpu ?? {};
  const bitmaps = unified && version >= SINCE_ALLOWED_CPUS;
  return [
    ...number(unified ? "MemoryMax" : "MemoryLimit", limit),
    ...(unified ? number("MemoryLow", reservation) : []),
    ...(unified ? number("MemorySwapMax", swapMax) : []),
    ...(shares === undefined
      ? []
      : number(unified ? "CPUWeight" : "CPUShares", unified ? weightOfShares(shares) : shares)),
    ...(quota === undefined && period === undefined ? [] : cpuQuota(quota, period, version)),
    ...(unified ? [] : number("BlockIOWeight", blockIO?.weight)),
    ...number("TasksMax", pids?.limit === 0n ? 1n : pids?.limit),
    ...(bitmaps && cpus !== undefined ? bitmap("AllowedCPUs", cpus) : []),
    ...(bitmaps && mems !== undefined ? bitmap("AllowedMemoryNodes", mems) : []),
  ];
}

function number(name: string, value: bigint | number | undefined): UnitProperties {
  if (value === undefined) return [];
  return [[name, new Variant("t", value < 0 ? INFINITY : BigInt(value))]];
}

/** systemd has the quota of a second, and rounds a cgroup's share of a processor to percents, so up, as runc does. */
function cpuQuota(
  quota: bigint | undefined,
  period: bigint | undefined,
  version: number,
): UnitProperties {
  const known = period !== undefined && version >= SINCE_QUOTA_PERIOD;
  const told = known ? number("CPUQuotaPeriodUSec", period) : [];
  if (quota === undefined) return told;
  const second = quota * SECOND_US / (period ?? DEFAULT_PERIOD_US);
  const rounded = (second + QUOTA_STEP_US - 1n) / QUOTA_STEP_US * QUOTA_STEP_US;
  return [...told, ...number("CPUQuotaPerSecUSec", quota <= 0n ? -1n : rounded)];
}

/** A list such as `0-3,8` as systemd has it: a bit for each, the lowest in the first byte. */
function bitmap(name: string, list: string): UnitProperties {
  const bytes: number[] = [];
  for (const range of list.split(",")) {
    const [, first, last = first] = /^\s*(\d{1,4})(?:-(\d{1,4}))?\s*$/.exec(range) ?? [];
    if (first === undefined) return []; // the kernel's word on it comes when belay writes it
    for (let bit = Number(first); bit <= Number(last); bit++) {
      while (bytes.length <= bit >> 3) bytes.push(0);
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) | 1 << (bit & 7);
    }
  }
  return [[name, new Variant("ay", new Uint8Array(bytes))]];
}

/**
 * The device list in systemd's words. Without them systemd opens all devices of a cgroup v1 container when it is
 * reloaded, and closes on v2 what only belay knows of.
 * @throws {ValidationError} for a list that systemd has no words for.
 */
export function deviceProperties({ allowed, exceptions }: DeviceList): UnitProperties {
  const policy = (name: string, allow: readonly DbusValue[]): UnitProperties => [
    ["DevicePolicy", new Variant("s", name)],
    ["DeviceAllow", new Variant("a(ss)", allow)],
  ];
  if (allowed) {
    if (exceptions.length === 0) return policy("auto", []);
    throw inexpressible("all devices but some");
  }
  return policy(
    "strict",
    exceptions.map(({ type, major, minor, access }) => {
      const kind = type === "b" ? "block" : "char";
      if (major === -1 && minor !== -1) throw inexpressible(`${type} *:${minor}`);
      const which = minor !== -1
        ? `/dev/${kind}/${major}:${minor}`
        : `${kind}-${major === -1 ? "*" : major}`;
      const letters = (["r", "w", "m"] as const).filter((each) => access & DEVICE_ACCESS[each]);
      return [which, letters.join("")];
    }),
  );
}

function inexpressible(what: string): ValidationError {
  const problem = `${what} cannot be told to systemd; list the devices one by one`;
  return new ValidationError("linux.resources.devices", problem);
}
