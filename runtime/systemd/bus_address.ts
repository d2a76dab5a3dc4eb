import { CgroupError } from "../cgroup/cgroup_error.ts";

/** Whose systemd it is, and the address of its bus. */
export interface Bus {
  readonly manager: "system" | "user";
  readonly address: string;
}

/**
 * Root's containers are units of the system's systemd, those of others of the user's own.
 * @param env The environment.
 * @throws {CgroupError} when there is no way to know where the user's bus is.
 */
export function busOf(uid: number, env: (name: string) => string | undefined): Bus {
  const given = (name: string) => env(name) || undefined;
  if (uid === 0) {
    const usual = "unix:path=/run/dbus/system_bus_socket";
    return { manager: "system", address: given("DBUS_SYSTEM_BUS_ADDRESS") ?? usual };
  }
  const runtime = given("XDG_RUNTIME_DIR");
  const address = given("DBUS_SESSION_BUS_ADDRESS") ??
    (runtime === undefined ? undefined : `unix:path=${encodeURI(runtime)}/bus`);
  if (address !== undefined) return { manager: "user", address };
  throw new CgroupError(
    "--systemd-cgroup: neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR says where the user's bus is",
  );
}
