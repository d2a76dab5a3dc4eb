// belay netns add --veth: a link from here to there, made before the namespace has a name.
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { noProgram } from "../skip.ts";
import { errorIn } from "./contained.ts";
import { NetnsWorld } from "./netns_world.ts";
import { e2e, until } from "./world.ts";

/** Inside of a network namespace of the test's own, too. */
function veth(name: string, work: (inside: NetnsWorld) => Promise<void>): void {
  e2e(`netns add --veth ${name}`, async (world) => {
    const inside = await NetnsWorld.start(world, "private", { net: true });
    await work(inside);
    await inside.end();
  }, noProgram("ip", "iproute2"));
}

// deno-lint-ignore no-explicit-any -- JSON of ip's
async function ip(inside: NetnsWorld, ...args: string[]): Promise<any[]> {
  const { stdout } = await inside.start(["ip", "-json", ...args]).ended;
  return stdout.trim() === "" ? [] : JSON.parse(stdout);
}

async function linkNames(inside: NetnsWorld, ...args: string[]): Promise<string[]> {
  return (await ip(inside, ...args, "link")).map(({ ifname }) => ifname);
}

veth("connects, with addresses on both ends, and lo up", async (inside) => {
  const { stdout } = await inside.ok([
    ...["add", "a", "--veth", "web0", "--host-address", "192.0.2.1/24"],
    ...["--address=192.0.2.2/24", "--json"],
  ]);
  assertEquals(JSON.parse(stdout)[0].veth, { host: "web0", inside: "eth0" });
  const flags = async (...args: string[]) =>
    (await ip(inside, ...args, "link")).map((link) => [
      ...[link.ifname, link.flags.includes("UP")],
    ]);
  assertEquals(await flags("-n", "a"), [["lo", true], ["eth0", true]]);
  assertEquals((await flags()).at(-1), ["web0", true]);
  const addresses = async (...args: string[]) =>
    (await ip(inside, ...args, "-4", "addr", "show")).flatMap((link) => link.addr_info)
      .map(({ local, prefixlen }) => `${local}/${prefixlen}`);
  assertEquals(await addresses("-n", "a"), ["127.0.0.1/8", "192.0.2.2/24"]);
  assertEquals(await addresses(), ["127.0.0.1/8", "192.0.2.1/24"]);
  // From there to here and back: the first one may be lost while the two get to know each other.
  await inside.script(
    "until belay netns exec a busybox ping -c 1 -W 1 192.0.2.1; do :; done; " +
      "busybox ping -c 1 -W 5 192.0.2.2",
  );
});

veth("gives each of several its own link, which goes with the namespace", async (inside) => {
  const before = await linkNames(inside);
  await inside.ok(["add", "w", "--count", "3", "--veth", "v:in0"]);
  assertEquals((await linkNames(inside)).slice(before.length).sort(), ["v1", "v2", "v3"]);
  for (const name of ["w1", "w2", "w3"]) {
    assertEquals(await linkNames(inside, "-n", name), ["lo", "in0"]);
  }
  await inside.ok(["delete", "w", "--count", "3"]);
  await until("the links are gone", async () => (await linkNames(inside)).length === before.length);
});

veth("leaves nothing when a link's name is taken, or the namespace's", async (inside) => {
  await inside.ok(["add", "a", "--veth", "web0"]);
  const taken = await inside.netns(["add", "b", "--veth", "web0"]);
  assertEquals([taken.code, errorIn(taken.stderr)], [
    ...[1, "belay netns add failed: RTM_NEWLINK web0 (veth): file exists (EEXIST)"],
  ]);
  const links = await linkNames(inside);
  const named = await inside.netns(["add", "a", "--veth", "web1"]);
  assertStringIncludes(named.stderr, "exists already");
  await until("the link is gone", async () => (await linkNames(inside)).length === links.length);
  assertEquals(inside.census().entries, ["a"]);
});

veth("says what is wrong with what it was given", async (inside) => {
  const wrong: Readonly<Record<string, readonly string[]>> = {
    "a link's name has 1 to 15 bytes": ["--veth", "sixteen-letters-"],
    "HOST[:INSIDE]": ["--veth", "a:b:c"],
    "is not like 10.0.0.1/24": ["--veth", "a", "--address", "192.0.2.1"],
    "--host-address: ": ["--veth", "a", "--host-address", "192.0.2.1/33"],
    "are for the ends of a --veth": ["--address", "192.0.2.1/24"],
    "several namespaces cannot have one address": [
      ...["--veth", "a", "--count", "2", "--address", "192.0.2.1/24"],
    ],
  };
  for (const [said, flags] of Object.entries(wrong)) {
    const { code, stderr } = await inside.netns(["add", "x", ...flags]);
    assertEquals(code, 1);
    assert(errorIn(stderr).includes(said), stderr);
  }
  assertEquals(inside.census().entries, []);
});
