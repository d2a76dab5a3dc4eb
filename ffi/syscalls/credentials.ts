/**
 * Users, groups and capabilities of the calling process.
 *
 * @module
 */
import { type Call, Call as SystemCall, call, effect, out, Shown, Struct } from "../call.ts";

/** setresuid(2): real, effective and saved user id. */
export function setresuid(uid: number): Call<void> {
  return effect("setresuid", uid, uid, uid);
}

/** setresgid(2): real, effective and saved group id. */
export function setresgid(gid: number): Call<void> {
  return effect("setresgid", gid, gid, gid);
}

/** setgroups(2). EPERM also in a user namespace whose setgroups file says "deny". */
export function setgroups(groups: readonly number[]): Call<void> {
  const fields = groups.map((gid, i) => [i * 4, 4, gid] as const);
  const list = new Struct(
    Math.max(groups.length * 4, 4),
    fields,
    false,
    () => `[${groups.join(", ")}]`,
  );
  return effect("setgroups", groups.length, list);
}

/** geteuid(2). */
export function geteuid(): Call<number> {
  return call("geteuid");
}

/** Capability sets, one bit for each capability (linux/capability.h). */
export interface CapabilitySets {
  readonly effective: bigint;
  readonly permitted: bigint;
  readonly inheritable: bigint;
}

const LINUX_CAPABILITY_VERSION_3 = 0x20080522;

function header(): Struct {
  return new Struct(8, [[0, 4, LINUX_CAPABILITY_VERSION_3], [4, 4, 0]], false, () => "{v3, self}");
}

/** capset(2) on the calling thread. EPERM: a capability beyond the permitted or bounding set. */
export function capset(sets: CapabilitySets): Call<void> {
  const low = (set: bigint) => set & 0xffffffffn;
  const high = (set: bigint) => set >> 32n;
  const { effective, permitted, inheritable } = sets;
  const text = () =>
    `{effective 0x${effective.toString(16)}, permitted 0x${permitted.toString(16)}, ` +
    `inheritable 0x${inheritable.toString(16)}}`;
  const data = new Struct(
    24,
    [
      [0, 4, low(effective)],
      [4, 4, low(permitted)],
      [8, 4, low(inheritable)],
      [12, 4, high(effective)],
      [16, 4, high(permitted)],
      [20, 4, high(inheritable)],
    ],
    false,
    text,
  );
  return effect("capset", header(), data);
}

/** capget(2) of the calling thread. */
export function capget(): Call<CapabilitySets> {
  const data = out(24);
  return new SystemCall("capget", [header(), new Shown(data, () => "out")], () => {
    const view = data.view();
    const set = (at: number) =>
      BigInt(view.getUint32(at, true)) | (BigInt(view.getUint32(at + 12, true)) << 32n);
    return { effective: set(0), permitted: set(4), inheritable: set(8) };
  });
}
