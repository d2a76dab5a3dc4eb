// belay ps: the processes of a container, as the host numbers them.
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { e2e, until } from "./world.ts";

e2e("ps tells the container's processes, as a table or JSON", async (world) => {
  const id = world.id();
  const bundle = await world.bundle({ args: ["sh", "-c", "sleep 1001 & sleep 1002; true"] });
  await world.ok(["run", "--detach", "--bundle", bundle, id]);
  const pids = async () => JSON.parse((await world.ok(["ps", "--format", "json", id])).stdout);
  await until("both sleep", async () => (await pids()).length === 3);
  const { pid } = await world.state(id);
  assertEquals((await pids()).includes(pid), true);
  const table = (await world.ok(["ps", id])).stdout.trimEnd().split("\n");
  assertEquals(table.length, 4);
  assertMatch(table[0] ?? "", /^UID +PID +PPID /);
  const own = await world.ok(["ps", id, "-o", "pid,args"]);
  assertEquals(own.stdout.trim().split("\n").length, 4);
  assertStringIncludes(own.stdout, `${pid} sh -c sleep 1001`);
  await world.ok(["delete", "--force", id]);
});

e2e("ps of a container that has stopped tells nobody", async (world) => {
  const id = world.id();
  await world.ok(["run", "--detach", "--bundle", await world.bundle(), id]);
  await until("it stops", async () => (await world.state(id)).status === "stopped");
  assertEquals((await world.ok(["ps", "-f", "json", id])).stdout, "[]\n");
  assertEquals((await world.ok(["ps", id])).stdout.split("\n").length, 2);
  await world.ok(["delete", id]);
});

e2e("ps refuses what it cannot tell", async (world) => {
  const id = world.id();
  const refused = async (...args: string[]) => {
    const { code, stderr } = await world.belay(["ps", ...args]);
    assertEquals(code, 1);
    return stderr;
  };
  assertStringIncludes(await refused(id), "container does not exist");
  await world.ok(["create", "--bundle", await world.bundle(), id]);
  assertStringIncludes(await refused(id, "-o", "comm"), "couldn't find PID field");
  assertStringIncludes(await refused(id, "--nonsense"), "ps --nonsense: exit status 1");
  assertStringIncludes(await refused("--format", "xml", id), "is not one of table, json");
  await world.ok(["delete", id]);
});
