// --pidfd-socket: a process by handle instead of number, for whoever stays.
import { assertEquals, assertStringIncludes } from "@std/assert";
import { Host } from "../../ffi/host.ts";
import { Pidfd } from "../../ffi/pidfd.ts";
import { Receiver } from "./receiver.ts";
import { e2e, until, type World } from "./world.ts";

const { thread } = new Host("/tmp");

/** The process that was sent, named as procfs does. */
function received(receiver: Receiver): { process: Pidfd; kind: string; pid: number } {
  const { fd, text } = receiver.take();
  const info = Deno.readTextFileSync(`/proc/self/fdinfo/${fd}`);
  const pid = Number(/^Pid:\t(-?\d+)$/m.exec(info)?.[1]);
  return { process: new Pidfd(thread, fd, pid), kind: text, pid };
}

async function sleeping(world: World): Promise<string> {
  return await world.bundle({ args: ["sleep", "1000"] });
}

for (const command of ["create", "run --detach"]) {
  e2e(`${command} --pidfd-socket sends the container's first process`, async (world) => {
    using receiver = new Receiver(world);
    const id = world.id();
    const flags = ["--bundle", await sleeping(world), "--pidfd-socket", receiver.path];
    await world.ok([...command.split(" "), ...flags, id]);
    const { process, kind, pid } = received(receiver);
    using _process = process;
    assertEquals({ kind, pid }, { kind: "tandard", pid: (await world.state(id)).pid });
    assertEquals(process.alive(), true);
    await world.ok(["delete", "--force", id]);
    assertEquals(process.alive(), false);
  });
}

e2e("exec --pidfd-socket sends the program that it adds, before it runs", async (world) => {
  using receiver = new Receiver(world);
  const id = world.id();
  await world.ok(["run", "--detach", "--bundle", await sleeping(world), id]);
  const exec = world.spawn(["exec", "--pidfd-socket", receiver.path, id, "sleep", "1001"]);
  const { process, kind, pid } = received(receiver);
  using _process = process;
  assertEquals(kind, "etns");
  const runs = () => Deno.readTextFileSync(`/proc/${pid}/cmdline`) === "sleep\x001001\x00";
  await until("it runs", runs);
  process.signal(9);
  assertEquals((await exec.ended).code, 137);
  await world.ok(["delete", "--force", id]);
});

e2e("--pidfd-socket where nobody listens fails, and nothing is left", async (world) => {
  const id = world.id();
  const socket = ["--pidfd-socket", `${world.dir}/none`];
  const bundle = await sleeping(world);
  for (const command of [["create"], ["run"], ["run", "--detach"]]) {
    const { code, stderr } = await world.belay([...command, "--bundle", bundle, ...socket, id]);
    assertEquals(code, 1);
    assertStringIncludes(stderr, `--pidfd-socket: ${world.dir}/none`);
    assertEquals((await world.belay(["state", id])).code, 1);
  }
  await world.ok(["run", "--detach", "--bundle", bundle, id]);
  const { code, stderr } = await world.belay(["exec", ...socket, id, "sleep", "1001"]);
  assertEquals(code, 255);
  assertStringIncludes(stderr, `--pidfd-socket: ${world.dir}/none`);
  assertEquals(JSON.parse((await world.ok(["ps", "-f", "json", id])).stdout).length, 1);
  await world.ok(["delete", "--force", id]);
});
