// belay netns add, delete, identify: one at a time, and with `ip netns` beside it.
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { noProgram } from "../skip.ts";
import { isLauncher } from "./belay.ts";
import { errorIn } from "./contained.ts";
import { NetnsWorld } from "./netns_world.ts";
import { OtherUser } from "./other_user.ts";
import { e2e, type World } from "./world.ts";

const noIp = noProgram("ip", "iproute2");

function netns(
  name: string,
  work: (inside: NetnsWorld, world: World) => Promise<void>,
  obstacles: Parameters<typeof e2e>[2] = [],
): void {
  e2e(`netns ${name}`, async (world) => {
    const inside = await NetnsWorld.start(world);
    await work(inside, world);
    await inside.end();
  }, obstacles);
}

netns("add makes one mount for the directory and one for each name", async (inside) => {
  const before = inside.census().lines;
  const { stdout } = await inside.ok(["add", "a", "--json"]);
  const [{ name, netns, path }] = JSON.parse(stdout);
  assertEquals([name, path], ["a", "/run/netns/a"]);
  assertEquals(Number(Deno.statSync(inside.path(path)).ino), netns);
  assertEquals(await inside.ok(["add", "b"]), { code: 0, stdout: "", stderr: "" });
  assertEquals(inside.census(), {
    ...{ directory: 1, mounts: { a: 1, b: 1 }, entries: ["a", "b"], lines: before + 3 },
  });
});

netns("add refuses a name that is taken, and leaves what has it alone", async (inside) => {
  await inside.ok(["add", "a"]);
  const { ino } = Deno.statSync(inside.path("/run/netns/a"));
  const { code, stderr } = await inside.netns(["add", "a"]);
  assertEquals([code, errorIn(stderr)], [
    ...[1, 'belay netns add failed: network namespace "a" exists already'],
  ]);
  assertEquals(Deno.statSync(inside.path("/run/netns/a")).ino, ino);
});

netns("add --count makes all or none", async (inside) => {
  const { stdout } = await inside.ok(["add", "w", "--count", "3", "--json"]);
  assertEquals(JSON.parse(stdout).map(({ name }: { name: string }) => name), ["w1", "w2", "w3"]);
  await inside.ok(["add", "x60"]);
  const { code, stderr } = await inside.netns(["add", "x", "--count=70"]);
  assertEquals(code, 1);
  assertStringIncludes(stderr, 'network namespace \\"x60\\" exists already');
  assertEquals(inside.census().entries, ["w1", "w2", "w3", "x60"]);
  await inside.ok(["delete", "w", "--count=3"]);
  assertEquals(inside.census().mounts, { x60: 1 });
});

netns("delete takes away what is there, and says what is not", async (inside) => {
  await inside.ok(["add", "a"]);
  const { code, stderr } = await inside.netns(["delete", "nobody", "a"]);
  assertEquals([code, errorIn(stderr)], [
    ...[1, 'belay netns delete failed: there is no network namespace "nobody"'],
  ]);
  assertEquals(inside.census().entries, []);
  assertEquals((await inside.ok(["delete", "--force", "a", "--json"])).stdout, "[]\n");
});

netns("delete takes nothing away when the file below could not be removed", async (inside) => {
  await inside.ok(["add", "a"]);
  const { stdout } = await inside.script(`
    cd /; mount -o remount,bind,ro /run/netns
    belay netns delete a 2>&1; belay netns exec a true && echo entered
    mount -o remount,bind,rw /run/netns`);
  assertMatch(stdout, /faccessat2.*EROFS.*\nentered\n$/);
  assertEquals(inside.census().mounts, { a: 1 });
});

netns("add and repair refuse names that are no UTF-8", async (inside) => {
  const { stdout } = await inside.script(`
    mkdir -p /run/netns; name=$(printf 'q\\377'); : > "/run/netns/$name"
    belay netns add "$name" 2>&1; belay netns repair; ls /run/netns | wc -l; rm "/run/netns/$name"`);
  // A compiled program of Deno 2.4.2 ends of such an argument before any of belay's code runs.
  const refused = isLauncher ? /invalid name.*it is no UTF-8"\n/ : /panicked at cli\/rt\//;
  assertMatch(stdout, refused);
  assertMatch(stdout, /\nq\ufffd: the name is no UTF-8: left alone: .*\n1\n$/);
});

netns("identify says why when a process may not be looked at", async (inside, world) => {
  await inside.ok(["add", "a"]);
  const { code, stderr } = await new OtherUser(world).belay(["netns", "identify", "1"]);
  assertEquals(code, 1);
  assertStringIncludes(stderr, "the network namespace of process 1: ");
});

netns("flags that go with others are refused without them", async (inside) => {
  for (
    const [args, flag] of [[["list", "--only"], "--only: "], [
      ["doctor", "--yes"],
      "--yes: ",
    ]] as const
  ) {
    const { code, stderr } = await inside.netns(args);
    assertEquals([code, errorIn(stderr).includes(flag)], [1, true], stderr);
  }
});

netns("delete leaves alone what is no network namespace", async (inside) => {
  await inside.script("mkdir -p /run/netns/directory; echo text > /run/netns/text");
  for (const name of ["directory", "text"]) {
    assertStringIncludes((await inside.netns(["delete", name])).stderr, "is left alone");
  }
  assertEquals(inside.entries(), ["directory", "text"]);
});

netns("delete removes a link and not what it leads to", async (inside) => {
  await inside.script("mkdir -p /run/netns; ln -s /proc/self/ns/net /run/netns/link");
  await inside.ok(["delete", "link"]);
  assertEquals(inside.entries(), []);
});

netns("identify tells the names of a process's namespace, also of links", async (inside) => {
  await inside.ok(["add", "a"]);
  const { stdout } = await inside.script(`
    nsenter --net=/run/netns/a sleep 100 & pid=$!
    until [ "$(stat -Lc %i /proc/$pid/ns/net)" = "$(stat -c %i /run/netns/a)" ]; do :; done
    ln -s /proc/$pid/ns/net /run/netns/link
    belay netns identify $pid; belay netns identify $pid --json; belay netns identify; kill $pid`);
  const [first, second, json = "", ...none] = stdout.trimEnd().split("\n");
  assertEquals([first, second, none], ["a", "link", []]);
  assertEquals(JSON.parse(json).names, ["a", "link"]);
  assertEquals(JSON.parse(json).netns, Deno.statSync(inside.path("/run/netns/a")).ino);
});

netns("names that are none are refused, as iproute2 does", async (inside) => {
  for (const name of ["", ".", "..", "a/b", "x".repeat(256)]) {
    assertStringIncludes((await inside.netns(["add", "--", name])).stderr, "invalid name");
  }
  assertEquals(inside.entries(), []);
  for (const name of ["-x", "with space", "ü", "x".repeat(255)]) {
    await inside.ok(["add", "--", name]);
    await inside.ok(["delete", "--", name]);
  }
});

netns(
  "repair removes what ip left long ago, and what it may be about to use only by force",
  async (inside) => {
    await inside.script(`mkdir -p /run/netns; cd /run/netns
    install -m 0 /dev/null young; install -m 0 /dev/null old; touch -d '1 minute ago' old
    ln -s /proc/self/ns/net link; mkdir directory; belay netns add whole`);
    const repair = async (...flags: string[]) =>
      JSON.parse((await inside.ok(["repair", "--json", ...flags])).stdout).map((
        { name, repaired }: { name: string; repaired: boolean },
      ) => `${name} ${repaired}`);
    assertEquals(await repair(), ["directory false", "old true", "young false"]);
    assertEquals(await repair("--force"), ["directory false", "young true"]);
    assertEquals(inside.entries(), ["directory", "link", "whole"]);
    assertEquals(
      (await inside.ok(["repair"])).stdout,
      "directory: it is no network namespace: left alone: it may be somebody's\n",
    );
  },
);

netns(
  "repair, delete and identify have nothing to do where nothing ever had a name",
  async (inside) => {
    assertEquals(await inside.ok(["repair"]), { code: 0, stdout: "", stderr: "" });
    assertEquals(await inside.ok(["identify"]), { code: 0, stdout: "", stderr: "" });
    assertEquals(await inside.ok(["delete", "-f", "a"]), { code: 0, stdout: "", stderr: "" });
    assertEquals(inside.census().directory, 0);
  },
);

netns("ip lists, enters and deletes what belay makes, and the other way round", async (inside) => {
  const { stdout } = await inside.script(`
    set -e
    belay netns add ours; ip netns add theirs
    ip netns list | sort
    ip netns exec ours readlink /proc/self/ns/net
    ip netns identify $$
    belay netns delete theirs; ip netns delete ours; ip netns list`);
  const [ours = "", theirs = "", link = "", ...rest] = stdout.trimEnd().split("\n");
  assertEquals([ours, theirs, rest], ["ours", "theirs", []]);
  assert(/^net:\[\d+\]$/.test(link), link);
  assertEquals(inside.census().mounts, {});
  assertEquals(inside.census().directory, 1);
}, noIp);
