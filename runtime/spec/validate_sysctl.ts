import type { LinuxNamespaceType, Spec } from "./types.ts";
import { namespaceOf } from "./validate_namespaces.ts";
import { pathOf, ValidationError } from "./validation_error.ts";

/** System V IPC settings that each IPC namespace has for itself: ipc/ipc_sysctl.c. */
const OF_IPC: readonly string[] = [
  "kernel/msgmax",
  "kernel/msgmnb",
  "kernel/msgmni",
  "kernel/sem",
  "kernel/shmall",
  "kernel/shmmax",
  "kernel/shmmni",
  "kernel/shm_rmid_forced",
];

/**
 * The path below /proc/sys of a sysctl: as in sysctl(8), the first separator decides whether `.` or
 * `/` separates; the other one is then part of a name (`net.ipv4.conf.eno2/100.rp_filter`).
 */
export function sysctlPath(key: string): string {
  const first = /[./]/.exec(key)?.[0];
  if (first !== ".") return key;
  return key.replace(/[./]/g, (separator) => separator === "." ? "/" : ".");
}

/** The type of namespace that the sysctl at `path` belongs to, if it belongs to one. */
export function sysctlNamespace(path: string): LinuxNamespaceType | undefined {
  if (OF_IPC.includes(path) || path.startsWith("fs/mqueue/")) return "ipc";
  if (path.startsWith("net/")) return "network";
  if (path === "kernel/hostname" || path === "kernel/domainname") return "uts";
  if (path.startsWith("user/")) return "user";
  return undefined;
}

/**
 * Only what a namespace of the container holds may be set: anything else would be the host's.
 * Whether a namespace joined by path is in truth the host's own, `checkHostNamespaces` asks.
 *
 * @throws {ValidationError}
 */
export function validateSysctl(spec: Spec): void {
  for (const key in spec.linux.sysctl) {
    const field = pathOf("linux.sysctl", key);
    const path = sysctlPath(key);
    if (path.split("/").some((part) => part === "" || part === "." || part === "..")) {
      throw new ValidationError(field, "must be the name of a sysctl, like net.ipv4.ip_forward");
    }
    const type = sysctlNamespace(path);
    if (type === undefined) {
      throw new ValidationError(field, `sysctl "${key}" is not in a separate kernel namespace`);
    }
    if (namespaceOf(spec, type) === undefined) {
      throw new ValidationError(
        field,
        `needs a namespace of type "${type}" in linux.namespaces; it would change the host's`,
      );
    }
    const rival = path === "kernel/hostname"
      ? spec.hostname
      : path === "kernel/domainname"
      ? spec.domainname
      : undefined;
    if (rival !== undefined) {
      throw new ValidationError(field, `conflicts with the field ${path.slice("kernel/".length)}`);
    }
  }
}
