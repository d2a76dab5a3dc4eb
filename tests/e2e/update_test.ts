// update: what the container's cgroups say afterwards, and what is refused.
import { assertEquals, assertStringIncludes } from "@std/assert";
import { noFile, type Obstacle } from "../skip.ts";
import { e2e, until, type World } from "./world.ts";

const V1 = ["memory", "cpu", "pids", "cpuset"].map((name) =>
  noFile(`/sys/fs/cgroup/${name}/cgroup.procs`)
);

/** The content of a file of the container's cgroup. */
function limit(id: string, file: string): string {
  return Deno.readTextFileSync(`/sys/fs/cgroup/${file.split(".")[0]}/${id}/${file}`).trim();
}

async function sleeping(world: World): Promise<string> {
  const id = world.id();
  const bundle = await world.bundle({
    args: ["sleep", "1000"],
    config: (spec) => spec.linux.cgroupsPath = `/${id}`,
  });
  await world.ok(["run", "--detach", "--bundle", bundle, id]);
  return id;
}

function test(name: string, work: (world: World, id: string) => Promise<void>, more?: Obstacle) {
  e2e(name, async (world) => {
    const id = await sleeping(world);
    await work(world, id);
    await world.ok(["delete", "--force", id]);
  }, [...V1, more]);
}

test("update sets what its flags ask for, up and down again", async (world, id) => {
  const memory = () => ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"];
  for (const [bytes, swap] of [[40, 50], [80, 90], [30, 40]] as const) {
    await world.ok(["update", "--memory", `${bytes}M`, "--memory-swap", `${swap}M`, id]);
    const expected = [bytes, swap].map((each) => String(each << 20));
    assertEquals(memory().map((file) => limit(id, file)), expected);
  }
  await world.ok([
    ...["update", "--memory-reservation", "10M", "--cpu-share", "512", "--cpu-period", "20000"],
    ...["--cpu-quota=10000", "--cpuset-cpus", "0", "--cpuset-mems", "0", "--pids-limit", "17", id],
  ]);
  const files = {
    "memory.soft_limit_in_bytes": String(10 << 20),
    "cpu.shares": "512",
    "cpu.cfs_period_us": "20000",
    "cpu.cfs_quota_us": "10000",
    "cpuset.cpus": "0",
    "cpuset.mems": "0",
    "pids.max": "17",
  };
  for (const [file, value] of Object.entries(files)) assertEquals(limit(id, file), value, file);
  await world.ok(["update", "--pids-limit", "-1", "--memory", "-1", id]);
  assertEquals(limit(id, "pids.max"), "max");
  assertEquals(limit(id, "memory.memsw.limit_in_bytes"), limit(id, "memory.limit_in_bytes"));
  assertEquals(limit(id, "cpu.shares"), "512");
});

test(
  "update sets bursts and idle where the kernel has them",
  async (world, id) => {
    await world.ok(["update", "--cpu-quota", "9000", "--cpu-burst", "8000", id]);
    await world.ok(["update", "--cpu-quota", "5000", "--cpu-burst", "4000", id]);
    assertEquals(limit(id, "cpu.cfs_burst_us"), "4000");
    await world.ok(["update", "--cpu-idle", "1", id]);
    assertEquals(limit(id, "cpu.idle"), "1");
    await world.ok(["update", "--cpu-idle", "0", "--cpu-share", "300", id]);
    assertEquals([limit(id, "cpu.idle"), limit(id, "cpu.shares")], ["0", "300"]);
  },
  [
    noFile("/sys/fs/cgroup/cpu/cpu.cfs_burst_us"),
    noFile("/sys/fs/cgroup/cpu/cpu.idle"),
  ].find((each) => each !== undefined),
);

test("update reads --resources from a file and from standard input", async (world, id) => {
  const json = JSON.stringify({
    memory: { limit: 32 << 20, swap: 0, kernel: 0 },
    cpu: { shares: 700, quota: 0, cpus: "" },
    pids: { limit: 0 },
    blockIO: { weight: 0 },
  });
  await world.ok(["update", "--pids-limit", "9", id]);
  await world.ok(["update", "--resources", "-", id], { stdin: json });
  assertEquals(limit(id, "memory.limit_in_bytes"), String(32 << 20));
  assertEquals(limit(id, "cpu.shares"), "700");
  assertEquals(limit(id, "pids.max"), "9"); // 0 is not set, as with runc
  const file = `${world.dir}/resources.json`;
  Deno.writeTextFileSync(file, json.replace("700", "800"));
  await world.ok(["update", `--resources=${file}`, id]);
  assertEquals(limit(id, "cpu.shares"), "800");
});

test("update changes nothing when a part of it is refused", async (world, id) => {
  await world.ok(["update", "--memory", "64M", "--memory-swap", "80M", "--pids-limit", "9", id]);
  const refusals: [string[], string][] = [
    [["--pids-limit", "5", "--memory", "4096"], "linux.resources.memory.limit: cannot write 4096"],
    [["--pids-limit", "5", "--memory-swap", "32M"], "linux.resources.memory.swap: cannot write"],
    [["--memory", "20M", "--memory-swap", "10M"], "must be at least the memory limit"],
    [["--memory", "foo"], "--memory: must be a size"],
    [["--cpu-quota", "foo"], "--cpu-quota: must be a whole number"],
    [["--cpu-share", "70", "--l3-cache-schema", "x"], "Intel RDT is not supported"],
    [["--resources", "/nowhere"], "--resources: cannot read /nowhere"],
    [["--resources", "-", "--memory", "1G"], "leave --memory out"],
    [["--resources", "-"], "standard input: is not JSON"],
    [["--cpuset-cpus", "99"], "linux.resources.cpu.cpus: cannot write 99"],
  ];
  for (const [flags, words] of refusals) {
    const { code, stderr } = await world.belay(["update", ...flags, id]);
    assertEquals(code, 1, flags.join(" "));
    assertStringIncludes(stderr, words);
  }
  const files = ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "pids.max", "cpu.shares"];
  const expected = [64 << 20, 80 << 20, 9, 1024].map(String);
  assertEquals(files.map((file) => limit(id, file)), expected);
  for (const [id, words] of [[world.id(), "container does not exist"]] as const) {
    const { code, stderr } = await world.belay(["update", "--memory", "64M", id]);
    assertEquals(code, 1);
    assertStringIncludes(stderr, words);
  }
});

test("update works on a paused container and refuses one that has stopped", async (world, id) => {
  await world.ok(["pause", id]);
  await world.ok(["update", "--pids-limit", "11", id]);
  assertEquals(limit(id, "pids.max"), "11");
  await world.ok(["kill", id, "KILL"]);
  await until("it stops", async () => (await world.state(id)).status === "stopped");
  const { code, stderr } = await world.belay(["update", "--pids-limit", "12", id]);
  assertEquals(code, 1);
  assertStringIncludes(stderr, "container not running");
});
