// A bus with a stand-in for systemd, for the walks of one scenario.
import { isThere } from "../../scripts/is_there.ts";
import { busConfiguration, type StandIn } from "../e2e/systemd_stand_in.ts";

const MOUNTS = ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"];
const PATIENCE_MS = 20_000;

/** Its processes and cgroups end with it. */
export class SystemdBus implements AsyncDisposable {
  private constructor(
    /** The environment in which belay finds it. */
    readonly env: Record<string, string>,
    private readonly group: string,
    private readonly processes: readonly Deno.ChildProcess[],
  ) {}

  /** @param home A directory for the socket. */
  static async start(home: string): Promise<SystemdBus> {
    const socket = `${home}/bus`;
    const config = `${home}/bus.conf`;
    Deno.writeTextFileSync(config, busConfiguration(socket));
    const args = [`--config-file=${config}`, "--nofork", "--nopidfile", "--print-address=1"];
    const daemon = new Deno.Command("dbus-daemon", {
      args,
      // It complains of limits that it may not raise.
      ...{ stdin: "null", stdout: "piped", stderr: "null" } as const,
    }).spawn();
    const group = `/belay-sweep-${Deno.pid}`;
    const processes = [daemon];
    const bus = new SystemdBus(
      { DBUS_SYSTEM_BUS_ADDRESS: `unix:path=${socket}` },
      group,
      processes,
    );
    try {
      await firstLine(daemon);
      const options: StandIn = {
        ...{ socket, record: "/dev/null", controlGroup: group, collects: true },
        mounts: MOUNTS.filter(isThere),
      };
      const script = new URL("../e2e/systemd_stand_in.ts", import.meta.url).pathname;
      const standIn = new Deno.Command(Deno.execPath(), {
        args: ["run", "--allow-all", "--no-check", script, JSON.stringify(options)],
        ...{ stdin: "null", stdout: "piped", stderr: "inherit" } as const,
      }).spawn();
      processes.push(standIn);
      await firstLine(standIn);
      return bus;
    } catch (error) {
      await bus[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Ends the processes and removes the slices, in which nothing may be left. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const process of this.processes.toReversed()) {
      process.kill("SIGKILL");
      await process.status;
    }
    for (const { name } of Deno.readDirSync("/sys/fs/cgroup")) {
      const top = `/sys/fs/cgroup/${name}${this.group}`;
      for (const path of [`${top}/system.slice`, top]) if (isThere(path)) Deno.removeSync(path);
    }
  }
}

/** Waits for a program's first line of output. */
async function firstLine(process: Deno.ChildProcess): Promise<void> {
  const timer = setTimeout(() => process.kill("SIGKILL"), PATIENCE_MS);
  const reader = process.stdout.getReader();
  try {
    const { done } = await reader.read();
    if (done) throw new Error("the bus, or the stand-in for systemd, did not start");
  } finally {
    clearTimeout(timer);
    await reader.cancel();
  }
}
