import { CommandError } from "../cli/command_error.ts";

/**
 * Where the bus of the system's systemd is.
 * @param env The environment.
 * @throws {CommandError} for other users than root: their systemd may neither restrict a container's devices, nor may
 * belay as such a user.
 */
export function busAddress(uid: number, env: (name: string) => string | undefined): string {
  if (uid !== 0) {
    throw new CommandError(
      "--systemd-cgroup: for root alone; a user's own systemd is not supported",
    );
  }
  return env("DBUS_SYSTEM_BUS_ADDRESS") || "unix:path=/run/dbus/system_bus_socket";
}
