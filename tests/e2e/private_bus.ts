// A bus of a test's own, with a stand-in for systemd on it.
import { isThere } from "../../scripts/is_there.ts";
import { type Running, until, type World } from "./world.ts";
import { busConfiguration, type StandIn } from "./systemd_stand_in.ts";

/** A call that the stand-in was sent; 64-bit numbers as text. */
export interface Recorded {
  readonly member: string;
  // deno-lint-ignore no-explicit-any -- whatever was sent
  readonly body: any[];
}

/** What a test has of it. */
export interface PrivateBus {
  /** The environment in which belay finds it. */
  readonly env: Record<string, string>;
  /** What the stand-in was asked for, without questions about properties. */
  calls(): Recorded[];
}

/** Does something with a bus and a stand-in, and ends both. */
export async function withBus(
  world: World,
  options: Omit<StandIn, "socket" | "record">,
  use: (bus: PrivateBus) => Promise<void>,
): Promise<void> {
  const socket = `${world.dir}/bus`;
  const record = `${world.dir}/calls`;
  Deno.writeTextFileSync(record, "");
  const config = `${world.dir}/bus.conf`;
  Deno.writeTextFileSync(config, busConfiguration(socket));
  const started: Running[] = [];
  try {
    const daemon = ["dbus-daemon", `--config-file=${config}`, "--nofork", "--nopidfile"];
    started.push(world.start([...known(world, options.owner), ...daemon]));
    await until("the bus listens", () => isThere(socket));
    const script = new URL("systemd_stand_in.ts", import.meta.url).pathname;
    const standIn = world.start([
      ...[Deno.execPath(), "run", "--allow-all", "--no-check", script],
      JSON.stringify({ socket, record, ...options }),
    ]);
    started.push(standIn);
    await until("the stand-in owns systemd's name", () => standIn.stdout() === "ready\n");
    await use({
      env: { DBUS_SYSTEM_BUS_ADDRESS: `unix:path=${socket}` },
      calls: () =>
        Deno.readTextFileSync(record).split("\n").filter((line) => line !== "")
          .map((line) => JSON.parse(line)).filter(({ member }) => member !== "Get"),
    });
    // It would have ended at what it does not understand.
    if (standIn.stderr() !== "") throw new Error(standIn.stderr());
  } finally {
    for (const each of started.reverse()) {
      each.signal("SIGKILL");
      await each.ended;
    }
  }
}

/** A prefix to a command for which a user has a name: dbus-daemon lets nobody in who has none. */
function known(world: World, owner: StandIn["owner"]): string[] {
  if (owner === undefined) return [];
  const passwd = `${world.dir}/passwd`;
  const entry = `belay-test:x:${owner.join(":")}::/:/bin/false\n`;
  Deno.writeTextFileSync(passwd, Deno.readTextFileSync("/etc/passwd") + entry);
  const script = `mount --bind '${passwd}' /etc/passwd && exec "$@"`;
  return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"];
}
