// Whose systemd is asked, where its bus is, and what a user's systemd must have been given.
import { assertEquals, assertThrows } from "@std/assert";
import { Struct } from "../../ffi/call.ts";
import type { Kernel } from "../../ffi/kernel.ts";
import { type Asked, Recorder } from "../../ffi/recorder.ts";
import { CgroupError } from "../../runtime/cgroup/cgroup_error.ts";
import { CommandError } from "../../runtime/cli/command_error.ts";
import { systemdBus } from "../../runtime/systemd/bus_address.ts";
import { assertDelegated } from "../../runtime/systemd/delegation.ts";
import { plan, V1, V2 } from "./cgroup_fake_world.ts";
import { FakeKernel } from "./cgroup_fake_kernel.ts";

const ENOENT = 2;
const USUAL = "unix:path=/run/dbus/system_bus_socket";
const HOST = "         0          0 4294967295\n";
const NAMESPACE = "         0       1000          1\n         1     100000      65536\n";

/** Who belay is, and what is there: files by their paths, with their owners. */
function as(uid: number, uidMap: string, files: Readonly<Record<string, number>> = {}): Kernel {
  let unread = uidMap;
  return new Recorder(({ name, args }: Asked) => {
    if (name === "geteuid") return uid;
    if (name === "read") {
      const [, buffer] = args;
      if (!(buffer instanceof Struct)) throw new Error("no buffer");
      const bytes = new TextEncoder().encode(unread);
      unread = "";
      buffer.bytes = new Uint8Array(buffer.size);
      buffer.bytes.set(bytes);
      return bytes.length;
    }
    if (name !== "statx" && name !== "faccessat2") return undefined;
    const owner = files[String(args[1])];
    if (owner === undefined) return -ENOENT;
    const buffer = args[4];
    if (name === "statx" && buffer instanceof Struct) {
      buffer.bytes = new Uint8Array(buffer.size);
      new DataView(buffer.bytes.buffer).setUint32(20, owner, true);
    }
    return 0;
  }).thread;
}

const env = (values: Record<string, string> = {}) => (name: string) => values[name];
const SESSION = { DBUS_SESSION_BUS_ADDRESS: "unix:path=/session" };

Deno.test("systemdBus() is the system's for root, and the user's for others", () => {
  const system = { address: USUAL, user: false };
  assertEquals(systemdBus(as(0, HOST), "auto", env(SESSION)), system);
  assertEquals(
    systemdBus(as(0, HOST), "auto", env({ DBUS_SYSTEM_BUS_ADDRESS: "" })),
    system,
  );
  assertEquals(
    systemdBus(as(0, HOST), "auto", env({ DBUS_SYSTEM_BUS_ADDRESS: "unix:path=/x" })),
    { address: "unix:path=/x", user: false },
  );
  const user = { address: "unix:path=/session", user: true };
  assertEquals(systemdBus(as(1000, HOST), "auto", env(SESSION)), user);
  // --rootless decides, as runc's does.
  assertEquals(systemdBus(as(0, HOST), "true", env(SESSION)), user);
  assertEquals(systemdBus(as(1000, HOST), "false", env(SESSION)), system);
});

Deno.test("systemdBus() of a user namespace's root is the one whose socket is that root's", () => {
  const socket = "/run/dbus/system_bus_socket";
  const whose = (files: Record<string, number>, values = {}) =>
    systemdBus(as(0, NAMESPACE, files), "auto", env({ ...SESSION, ...values })).user;
  assertEquals(whose({ [socket]: 0 }), false); // a machine in a container
  assertEquals(whose({ [socket]: 65534 }), true); // podman of a plain user: the host's
  assertEquals(whose({}), true);
  assertEquals(whose({ "/x": 0 }, { DBUS_SYSTEM_BUS_ADDRESS: "unix:path=/x" }), false);
  assertEquals(whose({}, { DBUS_SYSTEM_BUS_ADDRESS: "unix:abstract=x" }), true);
});

Deno.test("systemdBus() finds the user's bus as a login has it, and says what is missing", () => {
  const found = (values: Record<string, string>, files = {}) =>
    systemdBus(as(1000, HOST, files), "auto", env(values)).address;
  const directory = { XDG_RUNTIME_DIR: "/run/user/1000" };
  const there = { "/run/user/1000/bus": 1000 };
  assertEquals(found(directory, there), "unix:path=/run/user/1000/bus");
  assertEquals(found({ ...directory, ...SESSION }, there), "unix:path=/session");
  assertEquals(found({ XDG_RUNTIME_DIR: "/a,b" }, { "/a,b/bus": 1 }), "unix:path=/a%2Cb/bus");
  assertThrows(() => found({}), CommandError, "set DBUS_SESSION_BUS_ADDRESS, or XDG_RUNTIME_DIR");
  assertThrows(
    () => found(directory),
    CommandError,
    "there is no user's bus at /run/user/1000/bus: is the user's systemd running",
  );
});

Deno.test("assertDelegated() says which controller a user's systemd was not given", () => {
  const kernel = new FakeKernel().mount("/c/v2");
  const manager = "/user.slice/user-7.slice/user@7.service";
  const file = `/c/v2${manager}/cgroup.controllers`;
  const planned = plan(
    V2,
    { memory: { limit: 4096 }, pids: { limit: 5 } },
    "a.slice:b:c",
    "x",
    "/u",
  );
  const check = (world = planned) => assertDelegated(kernel, world, manager);
  assertThrows(check, CgroupError, `cannot be seen at /c/v2${manager}`);
  kernel.files.set(file, "memory pids\n");
  check();
  kernel.files.set(file, "memory\n");
  assertThrows(
    check,
    CgroupError,
    "linux.resources.pids.limit: the pids controller is not the user's: " +
      `/c/v2${manager} has only memory; root gives it with Delegate= of user@.service`,
  );
  kernel.files.set(file, "\n");
  assertThrows(check, CgroupError, `${manager} has none`);
  // Nothing is asked for: nothing is missing.
  check(plan(V2, {}, "a.slice:b:c", "x", "/u"));
  const v1 = plan(V1, {}, "a.slice:b:c", "x", "/u");
  assertThrows(
    () => check(v1),
    CgroupError,
    "on cgroup2 alone, and here are controllers of cgroup v1",
  );
  assertThrows(() => check({ ...v1, mode: "none" }), CgroupError, "no cgroup hierarchy");
});
