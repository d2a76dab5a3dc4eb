// linux.namespaces of type mount, by path: somebody else's, and as it was afterwards.
import { assert, assertEquals, assertNotEquals, assertStringIncludes } from "@std/assert";
import { contained, host } from "./contained.ts";
import { descendants } from "./census.ts";
import { Holder } from "./namespace_world.ts";
import { until } from "./world.ts";

// mount

contained(
  "linux.namespaces mount by path: after the end that namespace is as before",
  async (bundle) => {
    const report = "cat /proc/self/mountinfo; readlink /proc/self/root";
    await using holder = await Holder.start(bundle, ["-m", "--propagation", "private"]);
    const look = () => host("nsenter", "-t", String(holder.pid), "-m", "bash", "-c", report);
    const before = await look();
    const ownBefore = Deno.readTextFileSync("/proc/self/mountinfo");
    bundle.namespace("mount", holder.path("mount"));
    Deno.mkdirSync(`${bundle.host}/src`);
    Deno.writeTextFileSync(`${bundle.host}/src/file`, "bound");
    bundle.mount("/mnt/a", "bind", `${bundle.host}/src`, "rbind", "ro");
    const script =
      "cat /mnt/a/file; touch /mnt/a/x 2>/dev/null || echo ro; ls /; hostname; test -c /dev/null && echo null";
    const words = (await bundle.ok(script)).split("\n");
    assertEquals(words.slice(0, 2), ["boundro"].flatMap(() => ["boundro", "bin"]));
    assert(words.includes("null") && !words.includes("home"), words.join());
    assertEquals(await look(), before);
    {
      await using _container = await bundle.detached(["sleep", "1000"]);
      const during = await look();
      assertNotEquals(during, before, "the root is mounted there");
      assertEquals(during.split("\n").at(-1), "/", "nobody else's root has moved");
      // exec finds the container's root, which is not that of the namespace.
      const added = await bundle.world.ok(["exec", bundle.id, "sh", "-c", "cat /mnt/a/file; ls /"]);
      assert(added.stdout.startsWith("boundbin\n") && !added.stdout.includes("home"));
      assertEquals(Deno.readTextFileSync("/proc/self/mountinfo"), ownBefore);
    }
    assertEquals(await look(), before);
  },
);

contained(
  "linux.namespaces mount by path: nothing stays when belay is killed in the middle",
  async (bundle) => {
    await using holder = await Holder.start(bundle, ["-m", "--propagation", "private"]);
    const look = () =>
      host("nsenter", "-t", String(holder.pid), "-m", "cat", "/proc/self/mountinfo");
    const before = await look();
    bundle.namespace("mount", holder.path("mount"));
    const ready = `${bundle.host}/ready`;
    const wait = ["sh", "-c", `touch ${ready}; exec sleep 1000`];
    bundle.config.hooks = { createRuntime: [{ path: "/bin/sh", args: wait, timeout: 100 }] };
    const running = bundle.spawn("true");
    await until("the hook", () => [...Deno.readDirSync(bundle.host)].length > 0);
    assertNotEquals(await look(), before);
    running.signal("SIGKILL");
    assertEquals((await running.ended).code, 137);
    await bundle.world.ok(["delete", "--force", bundle.id]);
    assertEquals(await look(), before);
    // The hook ended with the belay that waited for it.
    const hooks = descendants().filter(({ pid, name }) => name === "sleep" && pid !== holder.pid);
    assertEquals(hooks, []);
  },
);

contained(
  "linux.namespaces mount by path: the host's own, also where mounts are shared",
  async (bundle) => {
    // A mount namespace that stands for the host's: what is mounted in it below a shared mount is seen in a copy of it.
    bundle.write("echo works; grep -c . /proc/self/mountinfo");
    const script = `
    mount --make-rshared /
    before=$(cat /proc/self/mountinfo)
    sed -i "s#MOUNTNS#/proc/$$/ns/mnt#" "$1/config.json"
    unshare -m --propagation unchanged sleep 1000 & copy=$!
    while [ "$(readlink /proc/$copy/exe)" != "$(readlink -f "$(which sleep)")" ]; do sleep 0.01; done
    copied=$(cat /proc/$copy/mountinfo)
    belay run --bundle "$1" "$2"
    echo "code $?"
    [ "$before" = "$(cat /proc/self/mountinfo)" ] && echo same
    [ "$copied" = "$(cat /proc/$copy/mountinfo)" ] && echo same in the copy
    kill $copy`;
    bundle.namespace("mount", "MOUNTNS");
    bundle.namespace("mount", "/MOUNTNS");
    bundle.write("echo works");
    const text = Deno.readTextFileSync(`${bundle.path}/config.json`).replace("/MOUNTNS", "MOUNTNS");
    Deno.writeTextFileSync(`${bundle.path}/config.json`, text);
    const { world, path, id } = bundle;
    const outer = `export -f belay; exec unshare -m bash -c '${
      script.replaceAll("'", `'"'"'`)
    }' bash "$@"`;
    const { stdout, stderr } = await world.script(outer, [path, id]).ended;
    assertEquals(stdout, "works\ncode 0\nsame\nsame in the copy\n", stderr);
  },
);

contained(
  "linux.namespaces mount by path: one that does not show the state directory is refused",
  async (bundle) => {
    const hide = `mount -t tmpfs tmpfs "${bundle.world.dir}"`;
    await using holder = await Holder.start(bundle, ["-m", "--propagation", "private"], hide);
    bundle.namespace("mount", holder.path("mount"));
    const message = await bundle.refused();
    assertStringIncludes(message, "linux.namespaces[4].path");
    assertStringIncludes(message, "state directory");
  },
);
