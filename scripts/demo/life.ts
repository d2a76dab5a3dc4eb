import { makeBundle } from "./bundle.ts";
import { descendants } from "./census.ts";
import type { Stage, Timed } from "./stage.ts";

/** How long a killed process may take to end. */
const END_MS = 5000;

/** create, state, start, kill, delete, with a look at what lies between create and start. */
export async function showLife(stage: Stage, rootfs: string): Promise<void> {
  const { screen } = stage;
  screen.chapter("A life: create → state → start → kill → delete");
  const bundle = await makeBundle(stage, "life", rootfs, (config) => {
    config.process.args = ["sh", "-c", "while :; do sleep 1; done"];
  });
  const created = await stage.show(bundle, "create", "life");
  const state = await stage.show(bundle, "state", "life");
  const { pid, status } = parse(state);
  const size = Deno.statSync(`/proc/${pid}/exe`).size;
  const resident = /^Rss:\s+(\d+)/m.exec(Deno.readTextFileSync(`/proc/${pid}/smaps_rollup`))?.[1];
  screen.say(
    `belay has exited. Process ${pid} is in its namespaces, with everything but its program. It is ` +
      `a stub: an executable of ${size} bytes, ${resident} kB resident, asleep in one system call ` +
      "until start comes.",
  );
  stage.expect(created.code === 0 && status === "created", "created: everything but the program.");
  await stage.show(bundle, "start", "life");
  const running = parse(await stage.quietly(bundle, "state", "life"));
  const program = Deno.readTextFileSync(`/proc/${pid}/cmdline`).replaceAll("\0", " ").trim();
  stage.expect(
    running.status === "running" && running.pid === pid,
    `running: the same process, ${pid}, now executes "${program}".`,
  );
  await stage.show(bundle, "kill", "life", "KILL");
  const stopped = await untilStopped(stage, bundle, "life");
  stage.expect(stopped, "stopped. The signal went through a pidfd, not to a number.");
  const deleted = await stage.show(bundle, "delete", "life");
  const gone = await stage.show(bundle, "state", "life");
  stage.expect(deleted.code === 0 && gone.code === 1, "deleted.");
}

/** A program that is there and cannot be executed: start itself knows, and says so. */
export async function showFailedStart(stage: Stage, rootfs: string): Promise<void> {
  const { screen } = stage;
  screen.chapter("A program that cannot be executed");
  screen.say(
    "/bin/broken is a script whose interpreter does not exist. Only execve can find that out, in " +
      "the container, at the very end. The stub is still there to tell its answer.",
  );
  await Deno.writeTextFile(`${rootfs}/bin/broken`, "#!/no/such/interpreter\n", { mode: 0o755 });
  const bundle = await makeBundle(stage, "broken", rootfs, (config) => {
    config.process.args = ["/bin/broken"];
  });
  await stage.show(bundle, "create", "broken");
  const started = await stage.show(bundle, "start", "broken");
  stage.expect(
    started.code !== 0 && /\/bin\/broken/.test(started.stderr),
    "start failed, with the kernel's reason: no guessing, no fifo, no log to dig in.",
  );
  await stage.show(bundle, "delete", "--force", "broken");
  screen.line();
  screen.say("A program that is not there at all is noticed by create already.");
  const missing = await makeBundle(stage, "missing", rootfs, (config) => {
    config.process.args = ["no-such-program"];
  });
  const refused = await stage.show(missing, "create", "missing");
  stage.expect(
    refused.code !== 0 && (await stage.quietly(missing, "state", "missing")).code !== 0,
    "Nothing was created; there is nothing to delete.",
  );
}

function parse(state: Timed): { pid: number; status: string } {
  return JSON.parse(state.stdout);
}

async function untilStopped(stage: Stage, bundle: string, id: string): Promise<boolean> {
  const deadline = performance.now() + END_MS;
  while (performance.now() < deadline) {
    if (parse(await stage.quietly(bundle, "state", id)).status === "stopped") return true;
  }
  return false;
}

/** The processes of the demo that live, for people: what they execute and how much memory they use. */
export function livingChildren(): { pid: number; executes: string; resident: string }[] {
  return descendants().filter(({ state }) => state !== "Z").map(({ pid }) => ({
    pid,
    executes: Deno.readLinkSync(`/proc/${pid}/exe`).replace(/.*\/(?=deno$|belay$)/, ""),
    resident: /^VmRSS:\s+(.*)/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`))?.[1] ?? "?",
  }));
}
