// mounts[]: types, options, and tmpfs.
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { contained, host } from "./contained.ts";
import { inMounts, may, mounts, parseMounts, source } from "./mount_world.ts";

// types

contained("mounts: the default ones are of their types and options", async (bundle) => {
  const all = await mounts(bundle);
  const shown = [...all.values()].map(({ point, type }) => `${point} ${type}`);
  for (
    const each of [
      ...["/proc proc", "/dev tmpfs", "/dev/pts devpts", "/dev/shm tmpfs", "/dev/mqueue mqueue"],
      "/sys sysfs",
    ]
  ) assert(shown.includes(each), `${each} in ${shown}`);
  const options = (point: string) => all.get(point)?.options.filter((each) => each !== "rw") ?? [];
  assertEquals(options("/dev"), ["nosuid"]);
  assertEquals(options("/dev/shm"), ["nosuid", "nodev", "noexec", "relatime"]);
  assertEquals(options("/sys"), ["ro", "nosuid", "nodev", "noexec", "relatime"]);
  assert(all.get("/dev/pts")?.superOptions.includes("gid=5"));
});

contained("mounts: overlay, with several layers and options in its data", async (bundle) => {
  for (const name of ["lower1", "lower2", "upper", "work"]) source(bundle, name);
  Deno.writeTextFileSync(`${bundle.host}/lower2/only`, "deep\n");
  const layers = `lowerdir=${bundle.host}/lower1:${bundle.host}/lower2`;
  const more = [`upperdir=${bundle.host}/upper`, `workdir=${bundle.host}/work`, "index=off"];
  bundle.mount("/merged", "overlay", "overlay", layers, ...more, "nosuid");
  const text = await bundle.ok(
    "cat /merged/file /merged/only; rm /merged/only; echo new >/merged/new; ls /merged",
  );
  assertEquals(text, "upper\ndeep\nfile\nnew");
  assertEquals(Deno.readTextFileSync(`${bundle.host}/upper/new`), "new\n");
  assert(!Deno.readTextFileSync("/proc/self/mountinfo").includes(bundle.host));
});

contained(
  "mounts: cgroup, with and without a cgroup namespace, shows the container's own",
  async (bundle) => {
    const script = `
    cd /sys/fs/cgroup
    for own in */cgroup.procs cgroup.procs; do [ -e $own ] && grep -qx $$ $own && echo $own; done
    find . -name cgroup.procs | grep -c .
    for each in */; do [ -e $each/devices.list ] && mkdir $each/sub 2>&1; done; true`;
    for (const namespace of [false, true]) {
      if (namespace) bundle.namespace("cgroup");
      const lines = (await bundle.ok(script)).split("\n");
      assert(lines.some((line) => /cgroup\.procs$/.test(line)), lines.join());
      // No other container's, and nobody's above: one directory for each hierarchy.
      const [count] = lines.filter((line) => /^\d+$/.test(line));
      const own = lines.filter((line) => /^[^.]*cgroup\.procs$/.test(line)).length;
      assert(Number(count) <= own + 1, lines.join());
      assertMatch(lines.at(-1) ?? "", /Read-only file system|cgroup\.procs|^\d+$/);
    }
  },
);

contained(
  "mounts: a type that the kernel does not know names the mount, and nothing stays",
  async (bundle) => {
    bundle.mount("/x", "nosuchfs", "none");
    const message = await bundle.refused();
    assertStringIncludes(message, "mounts[7]");
    assertStringIncludes(message, "nosuchfs");
    bundle.config.mounts.pop();
    bundle.mount("/x", "tmpfs", "tmpfs", "nosuchoption=1");
    assertStringIncludes(await bundle.refused(), "mounts[7]");
    bundle.config.mounts.pop();
    bundle.mount("/x", "bind", "/nonexistent/source", "bind");
    const missing = await bundle.refused();
    assertStringIncludes(missing, "mounts[7]");
    assertStringIncludes(missing, "/nonexistent/source");
  },
);

// options

const SWITCHES = ["ro", "nosuid", "nodev", "noexec", "nodiratime", "nosymfollow"] as const;
const OPPOSITE: Record<string, string> = {
  ...{ ro: "rw", nosuid: "suid", nodev: "dev", noexec: "exec" },
  ...{ nodiratime: "diratime", nosymfollow: "symfollow" },
};

contained(
  "mounts: every attribute, on a tmpfs, on a bind mount, and taken back",
  async (bundle) => {
    const src = source(bundle);
    const wanted = new Map<string, string[]>();
    for (const option of SWITCHES) {
      bundle.mount(`/t-${option}`, "tmpfs", "tmpfs", option);
      bundle.mount(`/b-${option}`, "bind", src, "bind", option);
      bundle.mount(`/n-${option}`, "bind", src, "bind", option, OPPOSITE[option] ?? "");
      wanted.set(`/t-${option}`, [option]);
      wanted.set(`/b-${option}`, [option]);
      wanted.set(`/n-${option}`, []);
    }
    bundle.mount("/all", "bind", src, "rbind", ...SWITCHES);
    wanted.set("/all", [...SWITCHES]);
    const all = await mounts(bundle);
    for (const [point, options] of wanted) {
      const shown = all.get(point)?.options.filter((each) =>
        (SWITCHES as readonly string[]).includes(each)
      );
      assertEquals(shown?.toSorted(), options.toSorted(), point);
    }
  },
);

contained("mounts: options of the file system itself", async (bundle) => {
  bundle.mount(
    "/t",
    "tmpfs",
    "tmpfs",
    "sync",
    "dirsync",
    "lazytime",
    "silent",
    "defaults",
    "size=4k",
  );
  bundle.mount("/n", "tmpfs", "tmpfs", "sync", "async", "lazytime", "nolazytime", "loud");
  const all = await mounts(bundle);
  const shown = (point: string) =>
    all.get(point)?.superOptions.filter((each) => /sync|lazy|^size/.test(each)).toSorted();
  assertEquals(shown("/t"), ["dirsync", "lazytime", "size=4k", "sync"]);
  assertEquals(shown("/n"), []);
});

contained("mounts: access times", async (bundle) => {
  const src = source(bundle);
  const times: Record<string, string[]> = {
    ...{ noatime: ["noatime"], strictatime: [], relatime: ["relatime"], defaults: ["relatime"] },
  };
  for (const option of Object.keys(times)) {
    bundle.mount(`/t-${option}`, "tmpfs", "tmpfs", option);
    bundle.mount(`/b-${option}`, "bind", src, "bind", option);
  }
  const all = await mounts(bundle);
  for (const [option, shown] of Object.entries(times)) {
    for (const kind of ["t", "b"]) {
      const found = all.get(`/${kind}-${option}`)?.options.filter((each) => each.endsWith("atime"));
      assertEquals(found, shown, `${kind}-${option}`);
    }
  }
});

contained(
  "mounts: r* attributes hold for the whole tree, the others for its top",
  async (bundle) => {
    const src = source(bundle);
    Deno.mkdirSync(`${src}/sub`);
    const tree = (options: readonly string[], inner: string) => {
      bundle.config.mounts.pop();
      bundle.mount("/tree", "bind", src, "rbind", ...options);
      bundle.write("grep ' /tree' /proc/self/mountinfo");
      return inMounts(
        bundle,
        `mount -t tmpfs -o ${inner} tmpfs "$3/src/sub"; belay run --bundle "$1" "$2"`,
      );
    };
    bundle.mount("/tree", "none", "none"); // taken off by the first
    const plain = (options: readonly string[]) =>
      options.filter((one) => one !== "rw" && one !== "relatime");
    const options = async (...asked: string[]) =>
      parseMounts(await tree(asked, "nodev")).map((each) => plain(each.options));
    assertEquals(await options(), [[], ["nodev"]]);
    assertEquals(await options("ro", "nosuid"), [["ro", "nosuid"], ["nodev"]]);
    assertEquals(await options("rro"), [["ro"], ["ro", "nodev"]]);
    assertEquals(await options("rnosuid", "rnoexec", "rdev"), [["nosuid", "noexec"], [
      "nosuid",
      "noexec",
    ]]);
    assertEquals(await options("ro", "rnosymfollow", "rnodiratime"), [
      ["ro", "nodiratime", "nosymfollow"],
      ["nodev", "nodiratime", "nosymfollow"],
    ]);
    assertEquals(await options("rnoatime"), [["noatime"], ["nodev", "noatime"]]);
    const back = ["rrw", "rsuid", "rdev", "rexec", "rdiratime", "rsymfollow", "rstrictatime"];
    const all = "ro,nosuid,nodev,noexec,nodiratime,noatime";
    assertEquals(
      parseMounts(await tree([], all)).at(-1)?.options.toSorted(),
      all.split(",").toSorted(),
    );
    assertEquals(parseMounts(await tree(back, all)).map((each) => each.options), [["rw"], ["rw"]]);
    // bind alone takes the top of the tree, and what is mounted below stays behind.
    bundle.config.mounts.pop();
    bundle.mount("/tree", "bind", src, "bind");
    const script = `mount -t tmpfs tmpfs "$3/src/sub"; belay run --bundle "$1" "$2"`;
    bundle.write("grep ' /tree' /proc/self/mountinfo");
    assertEquals(parseMounts(await inMounts(bundle, script)).length, 1);
  },
);

contained("mounts: propagation of a bind mount", async (bundle) => {
  const src = source(bundle);
  const kinds: Record<string, RegExp> = {
    private: /^$/,
    rprivate: /^$/,
    slave: /^master:\d+( propagate_from:\d+)?$/,
    rslave: /^master:\d+( propagate_from:\d+)?$/,
    shared: /^shared:\d+( master:\d+)?$/,
    rshared: /^shared:\d+( master:\d+)?$/,
    unbindable: /^unbindable$/,
    runbindable: /^unbindable$/,
  };
  for (const kind of Object.keys(kinds)) bundle.mount(`/${kind}`, "bind", src, "rbind", kind);
  bundle.mount("/tmpfs-shared", "tmpfs", "tmpfs", "shared");
  bundle.write("cat /proc/self/mountinfo");
  const script = `mount --bind "$3" "$3"; mount --make-shared "$3"; belay run --bundle "$1" "$2"`;
  const all = new Map(
    parseMounts(await inMounts(bundle, script)).map((each) => [each.point, each]),
  );
  for (const [kind, expected] of Object.entries(kinds)) {
    assertMatch(all.get(`/${kind}`)?.propagation ?? "none", expected, kind);
  }
  assertMatch(all.get("/tmpfs-shared")?.propagation ?? "none", /^shared:\d+$/);
});

contained(
  "mounts: what the host mounts later arrives in a slave, and not in a private one",
  async (bundle) => {
    const src = source(bundle);
    Deno.mkdirSync(`${src}/later`);
    bundle.mount("/slave", "bind", src, "rbind", "rslave");
    bundle.mount("/private", "bind", src, "rbind", "rprivate");
    bundle.mount("/shared", "bind", src, "rbind", "rshared");
    // A volume stays with its peers on the host when the container's mounts are not cut off from them.
    bundle.config.linux.rootfsPropagation = "rshared";
    may(bundle, "CAP_SYS_ADMIN");
    const wait = "while [ ! -e /slave/go ]; do sleep 0.02; done";
    bundle.write(
      `touch /slave/ready; ${wait}; cat /slave/later/new /private/later/new /shared/later/new 2>&1; ` +
        "mkdir /shared/from; mount -t tmpfs tmpfs /shared/from && touch /shared/from/inside /shared/mounted; sleep 1000",
    );
    const text = await inMounts(
      bundle,
      `
    mount --bind "$3" "$3"; mount --make-shared "$3"
    belay run --detach --bundle "$1" "$2" </dev/null >"$3/out" 2>&1
    while [ ! -e "$3/src/ready" ]; do sleep 0.02; done
    mount -t tmpfs tmpfs "$3/src/later"; echo new >"$3/src/later/new"
    touch "$3/src/go"
    while [ ! -e "$3/src/mounted" ]; do sleep 0.02; done
    ls "$3/src/from"
    belay delete --force "$2"
    cat "$3/out"`,
    );
    assertEquals(text.split("\n"), [
      "inside",
      "new",
      "cat: can't open '/private/later/new': No such file or directory",
      "new",
    ]);
  },
);

// tmpfs

contained("mounts: size, mode and nr_inodes of a tmpfs", async (bundle) => {
  bundle.mount("/t", "tmpfs", "tmpfs", "size=64k", "mode=1751", "nr_inodes=3", "gid=6");
  const script =
    "stat -c %a:%u:%g /t; head -c 100000 /dev/zero >/t/big; stat -c %s /t/big; touch /t/2 /t/3";
  const { stdout, stderr } = await bundle.run(script);
  assertEquals(stdout, "1751:0:6\n65536\n");
  assertMatch(stderr, /\/t\/3: No space left/);
});

contained("mounts: tmpcopyup fills a tmpfs with what it hides", async (bundle) => {
  may(bundle, "CAP_DAC_OVERRIDE");
  const dir = `${bundle.rootfs}/var`;
  Deno.mkdirSync(`${dir}/deep/er`, { recursive: true });
  bundle.file("var/file", "content\n", 0o640);
  bundle.file("var/deep/er/big", "x".repeat(3_000_000), 0o4755);
  Deno.chownSync(`${dir}/file`, 12, 34);
  Deno.symlinkSync("/etc/passwd", `${dir}/link`);
  Deno.symlinkSync("nowhere", `${dir}/dangling`);
  await host("mkfifo", "-m", "600", `${dir}/pipe`);
  await host("mknod", "-m", "644", `${dir}/null`, "c", "1", "3");
  Deno.chmodSync(`${dir}/deep`, 0o1700);
  Deno.chownSync(dir, 7, 8);
  Deno.utimeSync(`${dir}/file`, 1000, 2000);
  const list =
    'cd /var; find . | sort | while read f; do stat -c "%n %F %a %u:%g %s %t:%T" "$f"; done; ' +
    "stat -c %Y file; cat file; readlink link dangling";
  const strip = (text: string) => text.replace(/ directory (\d+) (\S+) \d+/g, " directory $1 $2");
  const before = strip(await bundle.ok(list.replace("readlink link dangling", "true")));
  bundle.mount("/var", "tmpfs", "tmpfs", "tmpcopyup", "nodev");
  const after = strip(
    await bundle.ok(list.replace("readlink link dangling", "echo changed >file")),
  );
  assertEquals(after, before);
  assertEquals(Deno.readTextFileSync(`${dir}/file`), "content\n", "the image is as before");
});

contained(
  "mounts: a read-only tmpfs takes later mounts into itself before it is sealed",
  async (bundle) => {
    const src = source(bundle);
    bundle.mount("/ro", "tmpfs", "tmpfs", "ro", "mode=755");
    bundle.mount("/ro/inner/dir", "bind", src, "bind");
    bundle.mount("/ro/one", "bind", `${src}/file`, "bind", "ro");
    const dev = bundle.config.mounts.find((each: { destination: string }) =>
      each.destination === "/dev"
    );
    dev.options.push("ro");
    const script =
      "cat /ro/inner/dir/file /ro/one; touch /ro/x; touch /dev/x; echo w >>/ro/one; echo y >/dev/null && echo null";
    const { stdout, stderr } = await bundle.run(script);
    assertEquals(stdout, "src\nsrc\nnull\n");
    assertEquals(stderr.match(/Read-only file system/g)?.length, 3, stderr);
  },
);
