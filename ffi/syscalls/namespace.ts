/**
 * Namespaces and what belongs to them.
 *
 * @module
 */
import { type Call, call, effect, type Fd } from "../call.ts";
import { flags, named } from "../show.ts";
import { CLONE } from "../abi/process_flags.ts";

const KEYCTL = { KEYCTL_JOIN_SESSION_KEYRING: 1, KEYCTL_SETPERM: 5 } as const;

/**
 * setns(2): the calling thread enters the namespaces of a descriptor (nsfs, or a pidfd from kernel 5.8).
 * EINVAL: the descriptor is not of that type, or the caller has threads and it is a user namespace.
 */
export function setns(fd: Fd, nstype: number): Call<void> {
  return effect("setns", fd, flags(nstype, CLONE));
}

/** unshare(2). A user namespace needs a caller with one thread. */
export function unshare(cloneFlags: number): Call<void> {
  return effect("unshare", flags(cloneFlags, CLONE));
}

/** sethostname(2), at most 64 bytes. */
export function sethostname(name: string): Call<void> {
  return effect("sethostname", name, new TextEncoder().encode(name).length);
}

/** setdomainname(2), at most 64 bytes. */
export function setdomainname(name: string): Call<void> {
  return effect("setdomainname", name, new TextEncoder().encode(name).length);
}

/** keyctl(2) KEYCTL_JOIN_SESSION_KEYRING: a new session keyring of that name. */
export function joinSessionKeyring(name: string): Call<number> {
  return call("keyctl", named(1, KEYCTL), name);
}

/** keyctl(2) KEYCTL_SETPERM: who may do what with a key (keyctl_setperm(3)). */
export function setKeyPermissions(key: Call<number>, permissions: number): Call<void> {
  return effect("keyctl", named(5, KEYCTL), key, permissions);
}
