import type { LinuxBlockIO, LinuxThrottleDevice } from "../spec/types.ts";
import { ValidationError } from "../spec/validation_error.ts";
import type { Setting } from "./setting.ts";

const FIELD = "linux.resources.blockIO";

/** The four kinds of throttles: the field, the file of v1, and the key in io.max of v2. */
const THROTTLES = [
  ["throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps"],
  ["throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps"],
  ["throttleReadIOPSDevice", "blkio.throttle.read_iops_device", "riops"],
  ["throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", "wiops"],
] as const;

/**
 * The files of the blkio controller of cgroup v1. Weights are the scheduler's: BFQ has its own file, CFQ is gone since
 * Linux 5.0. Sources: Documentation/admin-guide/cgroup-v1/blkio-controller.rst, block/bfq-cgroup.c.
 */
export function blockIOSettingsV1(blockIO: LinuxBlockIO): Setting[] {
  const { weight, leafWeight, weightDevice } = blockIO;
  const settings: Setting[] = [];
  const add = (name: string, file: string, value: string, more: Partial<Setting> = {}) => {
    settings.push({ field: `${FIELD}.${name}`, controller: "blkio", file, value, ...more });
  };
  const bfq = (value: string) => ({ otherwise: { file: "blkio.bfq.weight", value } });
  if (weight !== undefined) add("weight", "blkio.weight", String(weight), bfq(String(weight)));
  if (leafWeight !== undefined) add("leafWeight", "blkio.leaf_weight", String(leafWeight));
  for (const [i, device] of weightDevice.entries()) {
    const at = `weightDevice[${i}]`;
    const number = `${device.major}:${device.minor}`;
    if (device.weight !== undefined) {
      const value = `${number} ${device.weight}`;
      add(`${at}.weight`, "blkio.weight_device", value, {
        otherwise: { file: "blkio.bfq.weight_device", value },
        readBack: deviceLine(number, ` 0`),
      });
    }
    if (device.leafWeight !== undefined) {
      const value = `${number} ${device.leafWeight}`;
      const readBack = deviceLine(number, ` 0`);
      add(`${at}.leafWeight`, "blkio.leaf_weight_device", value, { readBack });
    }
  }
  for (const [name, file] of THROTTLES) {
    for (const [at, { major, minor, rate }] of throttles(blockIO, name)) {
      const number = `${major}:${minor}`;
      add(at, file, `${number} ${rate}`, { readBack: deviceLine(number, " 0") });
    }
  }
  return settings;
}

/**
 * The files of the io controller of cgroup v2. A weight goes to BFQ's file where there is one, else to io.weight,
 * whose range is 1 to 10000: as with runc and crun, 10 is 1 and 1000 is 10000. Source: cgroup-v2.rst, "IO".
 * @throws {ValidationError}
 */
export function blockIOSettingsV2(blockIO: LinuxBlockIO): Setting[] {
  const { weight, leafWeight, weightDevice } = blockIO;
  const settings: Setting[] = [];
  const add = (name: string, file: string, value: string, more: Partial<Setting> = {}) => {
    settings.push({ field: `${FIELD}.${name}`, controller: "io", file, value, ...more });
  };
  if (leafWeight !== undefined) refuseLeafWeight("leafWeight");
  if (weight !== undefined) {
    const value = `default ${ioWeight(weight)}`;
    const readBack = (text: string) => text.split("\n")[0] ?? "";
    add("weight", "io.bfq.weight", `default ${weight}`, {
      otherwise: { file: "io.weight", value },
      readBack,
    });
  }
  for (const [i, device] of weightDevice.entries()) {
    const at = `weightDevice[${i}]`;
    if (device.leafWeight !== undefined) refuseLeafWeight(`${at}.leafWeight`);
    if (device.weight === undefined) continue;
    const number = `${device.major}:${device.minor}`;
    add(`${at}.weight`, "io.bfq.weight", `${number} ${device.weight}`, {
      otherwise: { file: "io.weight", value: `${number} ${ioWeight(device.weight)}` },
      readBack: deviceLine(number, " default"),
    });
  }
  for (const [name, , key] of THROTTLES) {
    for (const [at, { major, minor, rate }] of throttles(blockIO, name)) {
      const number = `${major}:${minor}`;
      const value = `${number} ${key}=${rate === 0n ? "max" : rate}`;
      add(at, "io.max", value, { readBack: deviceLine(number, ` ${key}=max`) });
    }
  }
  return settings;
}

/** io.weight (1 to 10000) for a weight of blkio (10 to 1000). */
export function ioWeight(weight: number): number {
  return 1 + Math.floor((weight - 10) * 9999 / 990);
}

function throttles(
  blockIO: LinuxBlockIO,
  name: typeof THROTTLES[number][0],
): (readonly [string, LinuxThrottleDevice])[] {
  return blockIO[name].map((device, i) => [`${name}[${i}]`, device]);
}

/** What a file with a line for each device says about one of them, or what takes a value away. */
function deviceLine(number: string, none: string): (text: string) => string {
  return (text) =>
    text.split("\n").find((line) => line.startsWith(`${number} `)) ?? `${number}${none}`;
}

function refuseLeafWeight(name: string): never {
  throw new ValidationError(`${FIELD}.${name}`, "cgroup v2 has no leaf weights");
}
