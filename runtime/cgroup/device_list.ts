import type { LinuxDevice, LinuxDeviceCgroup } from "../spec/types.ts";
import { ValidationError } from "../spec/validation_error.ts";

/** Kinds of access to a device, as bits (linux/bpf.h, BPF_DEVCG_ACC_*). */
export const DEVICE_ACCESS = { m: 1, r: 2, w: 4 } as const;

/** Every access. */
const ALL_ACCESS = 7;

/** Devices that are treated unlike all others. */
export interface DeviceException {
  readonly type: "b" | "c";
  /** -1 is any. */
  readonly major: number;
  readonly minor: number;
  /** DEVICE_ACCESS bits. */
  readonly access: number;
}

/**
 * What the rules of a container come to: a default and the exceptions from it. This is how the devices controller of
 * cgroup v1 keeps them (Documentation/admin-guide/cgroup-v1/devices.rst, security/device_cgroup.c), and the program
 * for cgroup v2 is made from the same.
 */
export interface DeviceList {
  /** Whether a device is allowed that no exception names. */
  readonly allowed: boolean;
  readonly exceptions: readonly DeviceException[];
}

/** A rule with the field that asks for it. */
export interface DeviceRule extends LinuxDeviceCgroup {
  readonly field: string;
}

/**
 * The devices that every container has. With their paths: a device in `linux.devices` at the same path takes the
 * place of the default one.
 */
const DEFAULTS: readonly (readonly [rule: string, path?: string])[] = [
  // Making a node is harmless as long as it cannot be opened, and images contain nodes.
  ["c * * m"],
  ["b * * m"],
  ["c 1 3 rwm", "/dev/null"],
  ["c 1 8 rwm", "/dev/random"],
  ["c 1 7 rwm", "/dev/full"],
  ["c 5 0 rwm", "/dev/tty"],
  ["c 1 5 rwm", "/dev/zero"],
  ["c 1 9 rwm", "/dev/urandom"],
  ["c 136 * rwm"], // the devpts instances
  ["c 5 2 rwm"], // ptmx
  ["c 10 200 rwm"], // net/tun, which people expect since the first Docker
];

/**
 * The rules of a container in their order: those of `linux.resources.devices`, then the default devices, which can
 * thus not be taken away. This is what runc does; `linux.devices` alone does not open a device, either.
 */
export function deviceRules(
  rules: readonly LinuxDeviceCgroup[],
  devices: readonly LinuxDevice[],
): DeviceRule[] {
  const asked = rules.map((rule, i) => ({ ...rule, field: `linux.resources.devices[${i}]` }));
  const paths = new Set(devices.map((device) => device.path));
  const defaults = DEFAULTS.filter(([, path]) => path === undefined || !paths.has(path));
  return [...asked, ...defaults.map(([rule]) => parseDefault(rule))];
}

function parseDefault(text: string): DeviceRule {
  const [type, major, minor, access = ""] = text.split(" ");
  return {
    field: "linux.resources.devices",
    allow: true,
    type: type === "b" ? "b" : "c",
    major: major === "*" ? -1 : Number(major),
    minor: minor === "*" ? -1 : Number(minor),
    access,
  };
}

/**
 * What the rules come to, each applied to the outcome of those before it. A rule for `a` starts anew, whatever its
 * access. At first nothing is allowed.
 *
 * @throws {ValidationError} for a rule that takes back a part of an earlier one with wildcards: the kernel of
 * cgroup v1 ignores such a rule in silence.
 */
export function deviceList(rules: readonly DeviceRule[]): DeviceList {
  let allowed = false;
  const exceptions = new Map<string, DeviceException>();
  for (const rule of rules) {
    const { type, major, minor } = rule;
    if (type === "a") {
      allowed = rule.allow;
      exceptions.clear();
      continue;
    }
    const bits = accessBits(rule.access);
    const key = `${type} ${major} ${minor}`;
    const before = exceptions.get(key)?.access ?? 0;
    if (rule.allow === allowed) refuseHoles({ type, major, minor, access: bits }, rule, exceptions);
    const access = rule.allow === allowed ? before & ~bits : before | bits;
    if (access === 0) exceptions.delete(key);
    else exceptions.set(key, { type, major, minor, access });
  }
  return { allowed, exceptions: [...exceptions.values()] };
}

function refuseHoles(
  hole: DeviceException,
  { field }: DeviceRule,
  exceptions: ReadonlyMap<string, DeviceException>,
): void {
  for (const wide of exceptions.values()) {
    const wider = (wide.major === -1 || wide.major === hole.major) &&
      (wide.minor === -1 || wide.minor === hole.minor) &&
      (wide.major !== hole.major || wide.minor !== hole.minor);
    if (!wider || wide.type !== hole.type || (wide.access & hole.access) === 0) continue;
    throw new ValidationError(
      field,
      `cannot except ${describeException(hole)} from the earlier rule for ` +
        `${describeException(wide)}; list the devices one by one`,
    );
  }
}

/** An exception as `devices.allow` and `devices.deny` take it: `c 136:* rwm`. */
export function describeException({ type, major, minor, access }: DeviceException): string {
  const letters = (["r", "w", "m"] as const).filter((letter) => access & DEVICE_ACCESS[letter]);
  return `${type} ${wild(major)}:${wild(minor)} ${letters.join("")}`;
}

function wild(number: number): string {
  return number === -1 ? "*" : String(number);
}

function accessBits(access: string): number {
  let bits = 0;
  for (const letter of access) bits |= DEVICE_ACCESS[letter as keyof typeof DEVICE_ACCESS];
  return bits & ALL_ACCESS;
}

/**
 * Whether the list allows an access: in one exception or not at all when the default is no; when it is yes, not a
 * part of the access may be excepted (security/device_cgroup.c, match_exception and match_exception_partial).
 */
export function allows(
  list: DeviceList,
  device: { type: "b" | "c"; major: number; minor: number; access: number },
): boolean {
  const excepted = list.exceptions.some(({ type, major, minor, access }) =>
    type === device.type && (major === -1 || major === device.major) &&
    (minor === -1 || minor === device.minor) &&
    (list.allowed ? (access & device.access) !== 0 : (device.access & ~access) === 0)
  );
  return excepted !== list.allowed;
}
