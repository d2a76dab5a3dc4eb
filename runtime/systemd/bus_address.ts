import { AT_FDCWD } from "../../ffi/abi/file_flags.ts";
import { attempt } from "../../ffi/call.ts";
import { parseBusAddress } from "../../ffi/dbus/address.ts";
import type { Kernel } from "../../ffi/kernel.ts";
import { isSyscallError } from "../../ffi/syscall_error.ts";
import { geteuid } from "../../ffi/syscalls/credentials.ts";
import { faccessat2, statx } from "../../ffi/syscalls/file.ts";
import { CommandError } from "../cli/command_error.ts";
import { inUserNamespace } from "../security/user_namespace.ts";

const SYSTEM_BUS = "unix:path=/run/dbus/system_bus_socket";

/** A bus with a systemd on it. */
export interface Bus {
  readonly address: string;
  /** Whether it is a user's, and so is its systemd. */
  readonly user: boolean;
}

/**
 * The bus whose systemd is to be asked: the system's for root, the user's for everybody else.
 *
 * Root of a user namespace is both. In a machine in a container, the system's systemd is that root's own; under a
 * podman or docker of a plain user it is the host's, which does nothing for them. Whose it is, the owner of the bus's
 * socket tells.
 * @param rootless `--rootless`: `true` is a user, `false` is root, whoever asks. That is runc's rule.
 * @param env The environment, which says where the buses are.
 * @throws {CommandError} when nothing says where the user's bus is.
 */
export function systemdBus(
  kernel: Kernel,
  rootless: "true" | "false" | "auto",
  env: (name: string) => string | undefined,
): Bus {
  const system = env("DBUS_SYSTEM_BUS_ADDRESS") || SYSTEM_BUS;
  const user = rootless === "auto" ? isUsers(kernel, system) : rootless === "true";
  return { user, address: user ? userBus(kernel, env) : system };
}

function isUsers(kernel: Kernel, system: string): boolean {
  if (kernel.call(geteuid()) !== 0) return true;
  return inUserNamespace(kernel) && !isRoots(kernel, system);
}

/** Whether root of this user namespace has made the socket. Others' are there, with an owner that has no number here. */
function isRoots(kernel: Kernel, address: string): boolean {
  const where = parseBusAddress(address);
  if (where === undefined || !("path" in where)) return false;
  try {
    return kernel.call(statx(AT_FDCWD, where.path, 0)).uid === 0;
  } catch (error) {
    if (!isSyscallError(error)) throw error;
    return false; // none that can be reached
  }
}

/** As pam_systemd(8) and the D-Bus specification, "Message Bus Types", have it. */
function userBus(kernel: Kernel, env: (name: string) => string | undefined): string {
  const given = env("DBUS_SESSION_BUS_ADDRESS");
  if (given) return given;
  const directory = env("XDG_RUNTIME_DIR");
  if (!directory) {
    throw new CommandError(
      "--systemd-cgroup: nothing says where the user's bus is: set DBUS_SESSION_BUS_ADDRESS, or XDG_RUNTIME_DIR, as a " +
        "login by systemd-logind does (sudo and su alone do not)",
    );
  }
  const path = `${directory}/bus`;
  const missing = kernel.call(attempt(faccessat2(AT_FDCWD, path, 0)));
  if (missing instanceof Error) {
    if (!missing.is("ENOENT")) throw missing;
    throw new CommandError(
      `--systemd-cgroup: there is no user's bus at ${path}: is the user's systemd running, and dbus as its service ` +
        "(Debian package dbus-user-session)?",
    );
  }
  return `unix:path=${path.split("/").map(encodeURIComponent).join("/")}`;
}
