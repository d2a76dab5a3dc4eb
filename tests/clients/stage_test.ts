// What a test of a client leaves when it fails half way, or is killed: nothing.
import { assertEquals, assertMatch } from "@std/assert";
import { isThere } from "../../scripts/is_there.ts";
import { until } from "../e2e/census.ts";
import { noProgram, notRoot, testUnless } from "../skip.ts";

const user = new URL("stage_user.ts", import.meta.url).pathname;
const obstacles = [
  notRoot(),
  noProgram("tini"),
  noProgram("iptables"),
  noProgram("ip", "iproute2"),
];

for (const end of ["fail", "SIGTERM", "SIGKILL"] as const) {
  testUnless(obstacles, `Stage takes everything back when its process ends by ${end}`, async () => {
    const before = machine();
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--allow-all", "--no-check", user],
      ...{ stdin: "piped", stdout: "piped", stderr: "null" },
    }).spawn();
    const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    let said = "";
    while (!said.includes("\n")) {
      const { value, done } = await reader.read();
      if (done) throw new Error("the stage's user has ended early");
      said += value;
    }
    await reader.cancel();
    const { mark, dir, census, chains } = JSON.parse(said);
    // It was all there; and only on the stage.
    assertEquals(census.links, ["br-daemon", "lo"]);
    assertEquals(census.mounts, ["/run/daemon"]);
    assertMatch(chains, new RegExp(`^-N ${mark}`));
    assertEquals(cgroups(mark).length, 1);
    assertEquals(machine(), before);
    if (end !== "fail") child.kill(end);
    await child.stdin.close();
    assertEquals((await child.status).success, false);
    await until("its cgroups are gone", () => cgroups(mark).length === 0);
    await until("its files are gone", () => !isThere(dir));
    await until("its processes are gone", () => processesOf(mark).length === 0);
    assertEquals(machine(), before);
  });
}

/** What of the machine a daemon could have changed. */
function machine(): Record<string, readonly string[]> {
  return {
    links: [...Deno.readDirSync("/sys/class/net")].map(({ name }) => name).sort(),
    daemonMounts: Deno.readTextFileSync("/proc/self/mountinfo").split("\n")
      .filter((line) => line.includes("/run/daemon")),
  };
}

function cgroups(mark: string): string[] {
  return [...Deno.readDirSync("/sys/fs/cgroup/pids")].map(({ name }) => name)
    .filter((name) => name.startsWith(mark));
}

/** The processes that have the mark in their command lines, as the daemon and the sweeper have. */
function processesOf(mark: string): string[] {
  return [...Deno.readDirSync("/proc")].map(({ name }) => name).filter((pid) => {
    try {
      return Deno.readTextFileSync(`/proc/${pid}/cmdline`).includes(mark);
    } catch {
      return false; // no process, or it has ended
    }
  });
}
