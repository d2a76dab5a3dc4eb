// mounts[]: destinations and sources, and /proc.
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { contained } from "./contained.ts";
import { source } from "./mount_world.ts";

// destinations and sources

contained("mounts: destinations are made, directories and files, however deep", async (bundle) => {
  const src = source(bundle);
  bundle.mount("/a/b/c", "tmpfs", "tmpfs");
  bundle.mount("/a/b/c/d/e", "bind", src, "bind");
  bundle.mount("/f/g/file", "bind", `${src}/file`, "bind");
  bundle.mount("/etc/passwd", "bind", `${src}/file`, "bind", "ro");
  assertEquals(await bundle.ok("cat /a/b/c/d/e/file /f/g/file /etc/passwd"), "src\nsrc\nsrc");
  assertEquals(Deno.lstatSync(`${bundle.rootfs}/f/g/file`).size, 0);
  assertEquals((Deno.lstatSync(`${bundle.rootfs}/f/g`).mode ?? 0) & 0o777, 0o755);
});

contained("mounts: destinations through links of the image stay in the image", async (bundle) => {
  const src = source(bundle);
  const link = (target: string, name: string) =>
    Deno.symlinkSync(target, `${bundle.rootfs}/${name}`);
  Deno.mkdirSync(`${bundle.rootfs}/real`);
  link("/real", "absolute");
  link("real", "relative");
  link("../../../../real", "above");
  link("/dangling/deep", "dangle");
  link(`${bundle.host}`, "escape");
  const at = ["absolute/1", "relative/2", "above/3", "dangle/4", "escape/5"];
  for (const each of at) bundle.mount(`/${each}`, "bind", src, "bind");
  const places = ["real/1", "real/2", "real/3", "dangling/deep/4", `${bundle.host}/5`.slice(1)];
  const text = await bundle.ok(`cat ${places.map((each) => `/${each}/file`).join(" ")}`);
  assertEquals(text, "src\n".repeat(5).trimEnd());
  assertEquals([...Deno.readDirSync(bundle.host)].map(({ name }) => name), ["src"]);
  // A destination that is a link itself is where it points.
  link("/etc", "itself");
  bundle.mount("/itself", "bind", src, "bind");
  assertEquals(await bundle.ok("cat /etc/file"), "src");
  link("loop", "loop");
  bundle.mount("/loop/x", "bind", src, "bind");
  assertStringIncludes(await bundle.refused(), `mounts[${bundle.config.mounts.length - 1}]`);
});

contained(
  "mounts: `..` in a destination, a relative one, and a relative source",
  async (bundle) => {
    Deno.mkdirSync(`${bundle.path}/own`);
    Deno.writeTextFileSync(`${bundle.path}/own/file`, "of the bundle\n");
    bundle.mount("/tmp/../../../x", "bind", "own", "bind");
    bundle.mount("y/z", "bind", "own/file", "bind");
    assertEquals(await bundle.ok("cat /x/file /y/z"), "of the bundle\nof the bundle");
  },
);

contained("mounts: later ones cover earlier ones", async (bundle) => {
  bundle.mount("/m", "bind", source(bundle, "first"), "bind");
  bundle.mount("/m", "bind", source(bundle, "second"), "bind");
  assertEquals(await bundle.ok("cat /m/file"), "second");
});

contained(
  "mounts: a directory cannot go onto a file, nor a file onto a directory",
  async (bundle) => {
    const src = source(bundle);
    bundle.file("etc/file", "");
    // docker asks for "not a directory" in what a runtime says, and then tells people what they have done.
    for (const user of [false, true]) {
      if (user) bundle.userNamespace();
      bundle.mount("/etc/file", "bind", src, "bind");
      assertMatch(await bundle.refused(), /mounts\[7\].* on a file: not a directory$/);
      bundle.config.mounts.pop();
      bundle.mount("/etc", "bind", `${src}/file`, "bind");
      assertMatch(await bundle.refused(), /mounts\[7\].* on a directory: not a directory$/);
      bundle.config.mounts.pop();
    }
  },
);

contained("mounts on the root itself are refused by name, but for a remount", async (bundle) => {
  const src = source(bundle);
  const name = "mounts[7].destination: must not be the root itself";
  for (const place of ["/", "/tmp/..", "//."]) {
    bundle.mount(place, "tmpfs", "tmpfs");
    assertStringIncludes(await bundle.refused(), name);
    bundle.config.mounts.pop();
    bundle.mount(place, "bind", src, "bind");
    assertStringIncludes(await bundle.refused(), name);
    bundle.config.mounts.pop();
  }
  bundle.mount("/", "none", "none", "remount", "nosuid");
  await bundle.ok("true");
});

// /proc

contained("mounts inside /proc are refused but for those that lxcfs needs", async (bundle) => {
  const src = source(bundle);
  for (
    const place of [
      "/proc/self/attr",
      "/proc/sys",
      "/proc/1",
      "/proc/sysrq-trigger",
      "/tmp/../proc/sys/net",
    ]
  ) {
    bundle.mount(place, "bind", place.includes("sysrq") ? `${src}/file` : src, "bind");
    const message = await bundle.refused();
    assertStringIncludes(message, "mounts[7]");
    assertStringIncludes(message, "/proc");
    bundle.config.mounts.pop();
  }
  bundle.mount("/proc", "tmpfs", "tmpfs");
  assertStringIncludes(await bundle.refused(), "mounts[7]");
  bundle.config.mounts.pop();
  bundle.mount("/proc", "bind", src, "rbind");
  assertStringIncludes(await bundle.refused(), "mounts[7]");
  bundle.config.mounts.pop();
  for (const name of ["uptime", "cpuinfo", "meminfo", "stat", "loadavg", "diskstats", "swaps"]) {
    bundle.mount(`/proc/${name}`, "bind", `${src}/file`, "bind", "ro");
  }
  assertEquals(await bundle.ok("cat /proc/uptime /proc/meminfo"), "src\nsrc");
});

contained(
  "mounts: the host's procfs may be bound at /proc, where there is no pid namespace",
  async (bundle) => {
    bundle.without("pid");
    bundle.config.mounts = bundle.config.mounts.filter((each: { type: string }) =>
      each.type !== "proc"
    );
    bundle.mount("/proc", "bind", "/proc", "rbind");
    assertEquals(await bundle.ok("cat /proc/1/comm"), Deno.readTextFileSync("/proc/1/comm").trim());
  },
);

contained("mounts of proc and sysfs do not go through a link of the image", async (bundle) => {
  for (const name of ["proc", "sys"]) {
    Deno.removeSync(`${bundle.rootfs}/${name}`, { recursive: true });
    Deno.mkdirSync(`${bundle.rootfs}/fake-${name}`);
    Deno.symlinkSync(`/fake-${name}`, `${bundle.rootfs}/${name}`);
    const message = await bundle.refused();
    assertMatch(message, name === "proc" ? /mounts\[0\]/ : /mounts\[5\]/);
    Deno.removeSync(`${bundle.rootfs}/${name}`);
    Deno.mkdirSync(`${bundle.rootfs}/${name}`);
  }
});
