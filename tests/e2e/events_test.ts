// events: runc's JSON, the end of the stream, and running out of memory, also as the very end.
import { assertEquals, assertStringIncludes } from "@std/assert";
import { noFile } from "../skip.ts";
import { type AnySpec, e2e, until, type World } from "./world.ts";

const V1_MEMORY = noFile("/sys/fs/cgroup/memory/cgroup.event_control");

/** Takes 64 MiB at once. */
const GREEDY = ["dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"];

function little(spec: AnySpec): void {
  spec.linux.resources.memory = { limit: 16 << 20 };
}

async function created(world: World, args: string[], config?: (spec: AnySpec) => void) {
  const id = world.id();
  const bundle = await world.bundle({ args, ...(config === undefined ? {} : { config }) });
  await world.ok(["create", "--bundle", bundle, id]);
  return id;
}

/** The kinds of events, in order. */
function kinds(stdout: string): string[] {
  return stdout.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line).type);
}

e2e("events --stats prints one line with what the container uses", async (world) => {
  const id = await created(world, ["sleep", "1000"], (spec) => {
    spec.linux.resources = { memory: { limit: 64 << 20 }, pids: { limit: 7 } };
  });
  const { stdout } = await world.ok(["events", "--stats", id]);
  assertEquals(stdout.endsWith("}}\n"), true);
  const { type, id: of, data } = JSON.parse(stdout);
  assertEquals([type, of], ["stats", id]);
  assertEquals(data.memory.usage.limit, 64 << 20);
  assertEquals(data.pids, { current: 1, limit: 7 });
  assertEquals(data.memory.usage.usage > 0 && data.cpu.usage.total > 0, true, stdout);
  // A limit beyond 2^53 keeps its digits.
  assertStringIncludes(stdout, `"kernelTCP":{"limit":9223372036854771712,"failcnt":0}`);
  await world.ok(["delete", "--force", id]);
}, V1_MEMORY);

e2e("events prints statistics until the container has ended", async (world) => {
  const id = await created(world, ["sleep", "1000"]);
  const events = world.spawn(["events", "--interval", "10ms", id]);
  await until("three were printed", () => kinds(events.stdout()).length >= 3);
  await world.ok(["kill", id, "KILL"]);
  const { code, stdout } = await events.ended;
  assertEquals(code, 0);
  assertEquals(new Set(kinds(stdout)), new Set(["stats"]));
  await world.ok(["delete", id]);
});

e2e(
  "events refuses a container that is not there or has stopped, and no interval",
  async (world) => {
    const id = await created(world, ["sleep", "1000"]);
    const refusal = async (...args: string[]) => {
      const { code, stderr } = await world.belay(["events", ...args]);
      assertEquals(code, 1);
      return stderr;
    };
    const interval = "duration interval must be greater than 0";
    assertStringIncludes(await refusal("--interval", "0s", id), interval);
    assertStringIncludes(await refusal("--interval", "abc", id), "must be a duration like 5s");
    assertStringIncludes(await refusal(world.id()), "container does not exist");
    await world.ok(["kill", id, "KILL"]);
    await until("it stops", async () => (await world.state(id)).status === "stopped");
    const stopped = `container with id ${id} is not running`;
    assertStringIncludes(await refusal("--stats", id), stopped);
    assertStringIncludes(await refusal(id), stopped);
    await world.ok(["delete", id]);
  },
);

e2e("events tells that a container ran out of memory, which goes on", async (world) => {
  const script = `while ! test -e /go; do sleep 0.01; done; ${GREEDY.join(" ")}; sleep 1000`;
  const id = world.id();
  const bundle = await world.bundle({ args: ["sh", "-c", script], config: little, writable: true });
  await world.ok(["run", "--detach", "--bundle", bundle, id]);
  const events = world.spawn(["events", "--interval", "20ms", id]);
  await until("it listens", () => kinds(events.stdout()).length > 0);
  Deno.writeTextFileSync(`${bundle}/rootfs/go`, "");
  await until("it is told", () => kinds(events.stdout()).includes("oom"));
  const line = events.stdout().split("\n").find((each) => each.includes("oom"));
  assertEquals(line, `{"type":"oom","id":"${id}"}`);
  await world.ok(["kill", id, "KILL"]);
  assertEquals((await events.ended).code, 0);
  await world.ok(["delete", id]);
}, V1_MEMORY);

e2e("events tells of an OOM kill that is the container's end, and ends", async (world) => {
  for (let round = 0; round < 5; round++) {
    const id = await created(world, GREEDY, little);
    const events = world.spawn(["events", "--interval", "20ms", id]);
    await until("it listens", () => kinds(events.stdout()).length > 0);
    await world.ok(["start", id]);
    const { code, stdout } = await events.ended;
    assertEquals(code, 0);
    assertEquals(kinds(stdout).filter((kind) => kind === "oom").length >= 1, true, stdout);
    await world.ok(["delete", "--force", id]);
  }
}, V1_MEMORY);

e2e("events ends without an OOM notice when a container is deleted", async (world) => {
  const id = await created(world, ["sleep", "1000"], little);
  const events = world.spawn(["events", "--interval", "20ms", id]);
  await until("it listens", () => kinds(events.stdout()).length > 0);
  await world.ok(["delete", "--force", id]);
  const { code, stdout } = await events.ended;
  assertEquals(code, 0);
  assertEquals(kinds(stdout).includes("oom"), false, stdout);
}, V1_MEMORY);
