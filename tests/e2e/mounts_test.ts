// mounts[], root, linux.rootfsPropagation, maskedPaths, readonlyPaths, sysctl, devices, names, and limits in force.
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { noProgram } from "../skip.ts";
import { type Bundle, contained, host } from "./contained.ts";
import { belayPath } from "./world.ts";

/** A mount as /proc/self/mountinfo of the container shows it. */
interface Shown {
  readonly point: string;
  readonly options: readonly string[];
  /** `shared:1`, `master:2`, `unbindable`, ... */
  readonly propagation: string;
  readonly type: string;
  readonly superOptions: readonly string[];
}

function parseMounts(text: string): Shown[] {
  return text.split("\n").filter((line) => line.includes(" - ")).map((line) => {
    const [before = "", after = ""] = line.split(" - ");
    const [, , , , point = "", options = "", ...propagation] = before.split(" ");
    const [type = "", , superOptions = ""] = after.split(" ");
    return {
      ...{ point, type, propagation: propagation.join(" ") },
      ...{ options: options.split(","), superOptions: superOptions.split(",") },
    };
  });
}

/** The mounts of a container that has this configuration, the topmost at each point. */
async function mounts(bundle: Bundle): Promise<Map<string, Shown>> {
  const text = await bundle.ok("cat /proc/self/mountinfo");
  return new Map(parseMounts(text).map((each) => [each.point, each]));
}

/** Gives the process capabilities. */
function may(bundle: Bundle, ...names: string[]): void {
  bundle.config.process.capabilities = { bounding: names, permitted: names, effective: names };
}

/** A directory on the host with a file in it. */
function source(bundle: Bundle, name = "src"): string {
  const path = `${bundle.host}/${name}`;
  Deno.mkdirSync(path, { recursive: true });
  Deno.writeTextFileSync(`${path}/file`, `${name}\n`);
  return path;
}

/** Runs a script in a mount namespace of the test's own, where it may mount what it likes; `belay` is there. */
async function inMounts(bundle: Bundle, script: string): Promise<string> {
  const { world, path, id } = bundle;
  const whole = `set -e\nbelay() { "$BELAY" --root "$ROOT" "$@"; }\n${script}`;
  const { code, stdout, stderr } = await world.start(
    ["unshare", "-m", "bash", "-c", whole, "bash", path, id, bundle.host],
    { env: { BELAY: belayPath, ROOT: world.root } },
  ).ended;
  assertEquals(code, 0, `${stdout}${stderr}`);
  return stdout.trimEnd();
}

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
    const tree = (options: string[]) => {
      bundle.config.mounts.pop();
      bundle.mount("/tree", "bind", src, "rbind", ...options);
      bundle.write("grep ' /tree' /proc/self/mountinfo");
      return inMounts(
        bundle,
        `mount -t tmpfs -o nodev tmpfs "$3/src/sub"; belay run --bundle "$1" "$2"`,
      );
    };
    bundle.mount("/tree", "none", "none"); // taken off by the first
    const options = async (...asked: string[]) =>
      parseMounts(await tree(asked)).map((each) =>
        each.options.filter((one) => one !== "rw" && one !== "relatime")
      );
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
    bundle.mount("/etc/file", "bind", src, "bind");
    assertStringIncludes(await bundle.refused(), "mounts[7]");
    bundle.config.mounts.pop();
    bundle.mount("/etc", "bind", `${src}/file`, "bind");
    assertStringIncludes(await bundle.refused(), "mounts[7]");
  },
);

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

// root

contained("root.readonly seals the root, and mounts in it stay as they are", async (bundle) => {
  bundle.mount("/rw", "tmpfs", "tmpfs");
  bundle.config.root.readonly = true;
  const { stdout, stderr } = await bundle.run(
    "touch /x; touch /rw/x && echo written; grep -c ' / ro' /proc/self/mountinfo",
  );
  assertEquals(stdout, "written\n1\n");
  assertStringIncludes(stderr, "Read-only file system");
  bundle.userNamespace();
  assertEquals(await bundle.ok("touch /x 2>/dev/null || touch /rw/x && echo written"), "written");
});

contained("root.path may be absolute, and what is mounted below it comes along", async (bundle) => {
  bundle.config.root.path = bundle.rootfs;
  Deno.mkdirSync(`${bundle.rootfs}/sub`);
  bundle.write("cat /sub/f; grep -c ' /sub ' /proc/self/mountinfo");
  const script =
    `mount -t tmpfs tmpfs "$1/rootfs/sub"; echo nested >"$1/rootfs/sub/f"; belay run --bundle "$1" "$2"`;
  assertEquals(await inMounts(bundle, script), "nested\n1");
});

contained("root.path that is missing, or is a file, is told by its field", async (bundle) => {
  for (const path of ["nowhere", "config.json"]) {
    bundle.config.root.path = path;
    assertStringIncludes(await bundle.refused(), "root");
  }
});

/** The line of the root in mountinfo. */
const PROPAGATION_SHOWN: Readonly<Record<string, RegExp>> = {
  shared: / \/ rw,relatime shared:\d+ - /,
  slave: / \/ rw,relatime master:\d+( propagate_from:\d+)? - /,
  private: / \/ rw,relatime - /,
  unbindable: / \/ rw,relatime unbindable - /,
};

for (const kind of ["shared", "slave", "private", "unbindable"]) {
  for (const recursive of ["", "r"]) {
    contained(`linux.rootfsPropagation ${recursive}${kind}`, async (bundle) => {
      bundle.config.linux.rootfsPropagation = `${recursive}${kind}`;
      may(bundle, "CAP_SYS_ADMIN");
      Deno.mkdirSync(`${bundle.rootfs}/later`);
      bundle.write(`
        grep -m1 ' / rw' /proc/self/mountinfo
        touch /ready; while [ ! -e /go ]; do sleep 0.02; done
        [ -e /later/f ] && echo arrived
        mkdir -p /inside; mount -t tmpfs tmpfs /inside; touch /inside/f /done; sleep 1000`);
      const text = await inMounts(
        bundle,
        `
        mount --bind "$1/rootfs" "$1/rootfs"; mount --make-shared "$1/rootfs"
        before=$(cat /proc/self/mountinfo)
        belay run --detach --bundle "$1" "$2" </dev/null >"$3/out" 2>"$3/err"
        while [ ! -e "$1/rootfs/ready" ]; do sleep 0.02; done
        mount -t tmpfs tmpfs "$1/rootfs/later"; touch "$1/rootfs/later/f"; touch "$1/rootfs/go"
        while [ ! -e "$1/rootfs/done" ]; do sleep 0.02; done
        [ -e "$1/rootfs/inside/f" ] && echo left
        belay delete --force "$2"
        cat "$3/out" "$3/err"; echo ended; umount "$1/rootfs/later"
        [ "$before" = "$(cat /proc/self/mountinfo)" ] && echo same`,
      );
      // The specification: "shared" is a peer group of the container's own, not the host's.
      assertEquals(text.includes("arrived"), kind === "slave", text);
      assertEquals(text.includes("left"), false, text);
      assertMatch(text, PROPAGATION_SHOWN[kind] ?? /never/);
      assertMatch(text, /ended\nsame$/);
    });
  }
}

contained(
  "linux.rootfsPropagation: by default what the container mounts stays in it",
  async (bundle) => {
    may(bundle, "CAP_SYS_ADMIN");
    bundle.write("mkdir /inside; mount -t tmpfs tmpfs /inside && touch /inside/f && echo mounted");
    const script =
      `mount --bind "$1/rootfs" "$1/rootfs"; mount --make-rshared "$1/rootfs"; before=$(cat /proc/self/mountinfo)
    belay run --bundle "$1" "$2"; ls "$1/rootfs/inside"; [ "$before" = "$(cat /proc/self/mountinfo)" ] && echo same`;
    assertEquals(await inMounts(bundle, script), "mounted\nsame");
  },
);

contained(
  "--no-pivot: the container runs, and the host's mounts are out of reach",
  async (bundle) => {
    may(bundle, "CAP_SYS_CHROOT", "CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE");
    // The classic way out of a chroot: a directory that is held, a second chroot, and up.
    const escape = "mkdir -p /jail; chroot /jail /bin/true 2>/dev/null; cd /; " +
      "for i in 1 2 3 4 5 6; do cd ..; done; ls -a . | sort | tr '\\n' ' '";
    const expected = await bundle.ok(escape);
    const pivoted = (await mounts(bundle)).keys().toArray().sort();
    assertEquals(await bundle.ok(escape, "--no-pivot"), expected);
    const text = await bundle.ok("cat /proc/self/mountinfo", "--no-pivot");
    assertEquals(parseMounts(text).map(({ point }) => point).toSorted(), pivoted);
    // A new look at its own mount namespace from the top of it shows the container's root, too.
    const inside = await bundle.ok("ls /proc/1/root/ | sort | tr '\\n' ' '", "--no-pivot");
    assertStringIncludes(inside, "jail");
    bundle.userNamespace();
    await host("chown", "100000:100000", bundle.rootfs);
    assertEquals(await bundle.ok("echo runs", "--no-pivot"), "runs");
  },
);

// masked, read-only

contained(
  "linux.maskedPaths hide files and directories, and pass over what is missing",
  async (bundle) => {
    Deno.mkdirSync(`${bundle.rootfs}/secret`);
    bundle.file("secret/file", "hidden");
    bundle.file("etc/key", "hidden");
    Deno.symlinkSync("/etc/key", `${bundle.rootfs}/link`);
    bundle.file("etc/other", "hidden");
    Deno.symlinkSync("/etc/other", `${bundle.rootfs}/link2`);
    bundle.config.linux.maskedPaths = [
      "/secret",
      "/etc/key",
      "/missing",
      "/etc/key/below",
      "/link2",
      "/proc/keys",
    ];
    const script =
      "ls -A /secret | wc -l; cat /etc/key /link /etc/other | wc -c; touch /secret/x; stat -c %t:%T /proc/keys; " +
      "grep -c ' /secret ro' /proc/self/mountinfo";
    const { stdout, stderr } = await bundle.run(script);
    assertEquals(stdout, "0\n0\n1:3\n1\n");
    assertStringIncludes(stderr, "Read-only file system");
  },
);

contained(
  "linux.readonlyPaths cannot be written, what is mounted below them can, as with runc",
  async (bundle) => {
    Deno.mkdirSync(`${bundle.rootfs}/data/sub`, { recursive: true });
    bundle.file("etc/file", "");
    bundle.mount("/data/sub", "tmpfs", "tmpfs", "nosuid");
    bundle.mount("/nosuid", "tmpfs", "tmpfs", "nosuid", "noexec");
    bundle.config.linux.readonlyPaths = [
      "/data",
      "/etc/file",
      "/missing/x",
      "/proc/sys",
      "/nosuid",
    ];
    const script =
      "touch /data/x; echo >/etc/file; touch /data/sub/x && echo below; echo 1 >/proc/sys/kernel/domainname; " +
      "grep ' /nosuid ' /proc/self/mountinfo | tail -1";
    const { stdout, stderr } = await bundle.run(script);
    assertMatch(stdout, /^below\n.* \/nosuid ro,nosuid,noexec,/);
    assertEquals(stderr.match(/Read-only file system/g)?.length, 3, stderr);
  },
);

// sysctl, names

contained("linux.sysctl is set in the container's namespaces", async (bundle) => {
  delete bundle.config.hostname;
  bundle.config.linux.sysctl = {
    "net.ipv4.ip_forward": "1",
    "net/ipv4/conf/lo/forwarding": "0",
    "kernel.shmmax": "12345678",
    "fs.mqueue.msg_max": "20",
    "kernel.hostname": "by-sysctl",
    "kernel.domainname": "domain",
  };
  const before = Deno.hostname();
  const names = [
    "net/ipv4/ip_forward",
    "net/ipv4/conf/lo/forwarding",
    "kernel/shmmax",
    "fs/mqueue/msg_max",
    "kernel/domainname",
  ];
  const script = `hostname; cd /proc/sys; cat ${names.join(" ")}`;
  assertEquals(await bundle.ok(script), "by-sysctl\n1\n0\n12345678\n20\ndomain");
  assertEquals(Deno.hostname(), before);
  bundle.userNamespace();
  // The files of kernel.hostname and kernel.domainname belong to the host's root.
  delete bundle.config.linux.sysctl["kernel.hostname"];
  assertStringIncludes(await bundle.refused(), 'linux.sysctl["kernel.domainname"]');
  delete bundle.config.linux.sysctl["kernel.domainname"];
  assertMatch(await bundle.ok(script), /\n1\n0\n12345678\n20\n/);
  bundle.config.linux.sysctl = { "kernel.hostname": "by-sysctl" };
  // Without a /proc in the container the host's is used, in the container's namespaces.
  bundle.config.mounts = bundle.config.mounts.filter((each: { type: string }) =>
    each.type !== "proc"
  );
  bundle.config.linux.maskedPaths = bundle.config.linux.readonlyPaths = [];
  bundle.without("user");
  bundle.config.linux.uidMappings = bundle.config.linux.gidMappings = [];
  assertEquals(await bundle.ok("hostname"), "by-sysctl");
});

contained(
  "linux.sysctl that is the host's, unknown, or refused by the kernel is told by name",
  async (bundle) => {
    const cases: Record<string, string> = {
      "kernel.panic": "not in a separate kernel namespace",
      "net.nosuch.thing": "cannot be set",
      "net.ipv4.ip_forward": "cannot be set",
      "net.ipv4.conf.self/../../../kernel/panic": "must be the name",
    };
    for (const [name, message] of Object.entries(cases)) {
      bundle.config.linux.sysctl = { [name]: "notanumber" };
      const error = await bundle.refused();
      assertStringIncludes(error, `linux.sysctl[${JSON.stringify(name)}]`);
      assertStringIncludes(error, message);
    }
    bundle.config.linux.sysctl = { "net.ipv4.ip_forward": "1" };
    bundle.without("network");
    assertStringIncludes(await bundle.refused(), 'needs a namespace of type "network"');
  },
);

contained("hostname and domainname are the container's alone", async (bundle) => {
  bundle.config.hostname = "h".repeat(64);
  bundle.config.domainname = "example.org";
  const before = await host("hostname");
  assertEquals(
    await bundle.ok("hostname; cat /proc/sys/kernel/domainname"),
    `${"h".repeat(64)}\nexample.org`,
  );
  assertEquals(await host("hostname"), before);
  bundle.config.hostname = "h".repeat(65);
  assertStringIncludes(await bundle.refused(), "hostname");
});

contained("annotations are in the state", async (bundle) => {
  bundle.config.annotations = {
    "org.example": "value",
    "": "empty",
    "key with space": "\u{1F980}",
  };
  bundle.config.annotations = { "org.example": "value", "key with space": "\u{1F980}" };
  await using _container = await bundle.detached(["sleep", "1000"]);
  assertEquals((await bundle.world.state(bundle.id)).annotations, bundle.config.annotations);
});

// devices

contained(
  "linux.devices: kinds, modes, owners, subdirectories, and in place of a default one",
  async (bundle) => {
    bundle.config.linux.devices = [
      { path: "/dev/mine", type: "c", major: 1, minor: 5, fileMode: 0o640, uid: 5, gid: 6 },
      { path: "/dev/sub/dir/block", type: "b", major: 7, minor: 3, fileMode: 0o600 },
      { path: "/dev/fifo", type: "p", fileMode: 0o622 },
      { path: "/dev/null", type: "c", major: 1, minor: 3, fileMode: 0o600, uid: 9 },
      { path: "/dev/unbuffered", type: "u", major: 1, minor: 7 },
      { path: "/opt/outside", type: "c", major: 1, minor: 3 },
    ];
    const script = "for d in mine sub/dir/block fifo null unbuffered ../opt/outside full; do " +
      'stat -c "%F %a %u:%g %t:%T" /dev/$d; done';
    assertEquals((await bundle.ok(script)).split("\n"), [
      "character special file 640 5:6 1:5",
      "block special file 600 0:0 7:3",
      "fifo 622 0:0 0:0",
      "character special file 600 9:0 1:3",
      "character special file 666 0:0 1:7",
      "character special file 666 0:0 1:3",
      "character special file 666 0:0 1:7",
    ]);
  },
);

contained(
  "linux.devices that the image has already, as another thing, are refused",
  async (bundle) => {
    bundle.config.linux.devices = [{ path: "/opt/dev", type: "c", major: 1, minor: 5 }];
    bundle.file("opt/dev", "a plain file that would be taken for the device");
    assertStringIncludes(await bundle.refused(), "linux.devices[0]");
    Deno.removeSync(`${bundle.rootfs}/opt/dev`);
    await host("mknod", `${bundle.rootfs}/opt/dev`, "c", "1", "3");
    assertStringIncludes(await bundle.refused(), "linux.devices[0]");
    Deno.removeSync(`${bundle.rootfs}/opt/dev`);
    await host("mknod", `${bundle.rootfs}/opt/dev`, "c", "1", "5");
    assertEquals(await bundle.ok("stat -c %t:%T /opt/dev"), "1:5");
  },
);

contained(
  "default devices and links are there, and a /dev bound from the host is left alone",
  async (bundle) => {
    const script = "cd /dev; stat -c '%n %a %t:%T' null zero full random urandom tty; " +
      "for l in fd stdin stdout stderr ptmx core; do readlink $l; done";
    assertEquals((await bundle.ok(script)).split("\n"), [
      ...[
        "null 666 1:3",
        "zero 666 1:5",
        "full 666 1:7",
        "random 666 1:8",
        "urandom 666 1:9",
        "tty 666 5:0",
      ],
      ...[
        "/proc/self/fd",
        "/proc/self/fd/0",
        "/proc/self/fd/1",
        "/proc/self/fd/2",
        "pts/ptmx",
        "/proc/kcore",
      ],
    ]);
    Deno.mkdirSync(`${bundle.host}/dev`);
    bundle.config.mounts = bundle.config.mounts.filter((each: { destination: string }) =>
      !each.destination.startsWith("/dev")
    );
    bundle.mount("/dev", "bind", `${bundle.host}/dev`, "rbind");
    assertEquals(await bundle.ok("ls /dev | wc -l"), "0");
  },
);

contained(
  "linux.resources.devices are in force, and so is what every container may use",
  async (bundle) => {
    may(bundle, "CAP_MKNOD");
    bundle.config.linux.resources.devices = [
      { allow: false, access: "rwm" },
      { allow: true, type: "c", major: 1, minor: 1, access: "m" },
    ];
    const script =
      "echo x >/dev/null; head -c 1 /dev/zero | wc -c; mknod /tmp/mem c 1 1; cat /tmp/mem; mknod /tmp/kvm c 10 232; cat /tmp/kvm; " +
      "mknod /tmp/vda b 254 0; cat /tmp/vda";
    const { stdout, stderr } = await bundle.run(script);
    assertEquals(stdout, "1\n");
    assertMatch(stderr, /\/tmp\/mem.*Operation not permitted/);
    assertMatch(stderr, /\/tmp\/vda.*Operation not permitted/);
  },
);

// limits in force

contained("linux.resources.memory.limit: what takes more is killed", async (bundle) => {
  bundle.config.linux.resources.memory = { limit: 16 << 20, swap: 16 << 20 };
  const hog = "head -c 64000000 /dev/zero | tail >/dev/null; echo $?";
  assertEquals(await bundle.ok(hog), "137");
  bundle.config.linux.resources.memory = { limit: 256 << 20, swap: 256 << 20 };
  assertEquals(await bundle.ok(hog), "0");
});

contained("linux.resources.pids.limit stops a fork bomb", async (bundle) => {
  bundle.config.linux.resources.pids = { limit: 8 };
  const script = "n=0; while [ $n -lt 40 ]; do sleep 1000 & n=$((n+1)); done; echo all";
  const { stdout, stderr } = await bundle.run(script);
  assertEquals(stdout, "");
  assertMatch(stderr, /can't fork/);
});

// an old kernel

contained(
  "bind mounts and read-only paths work where mount_setattr is missing (before Linux 5.12)",
  async (bundle) => {
    const src = source(bundle);
    bundle.mount("/ro", "bind", src, "bind", "ro", "nosuid", "noexec");
    bundle.mount("/file", "bind", `${src}/file`, "bind", "ro");
    bundle.mount("/private", "bind", src, "rbind", "rprivate");
    bundle.config.linux.readonlyPaths = ["/etc", "/proc/sys"];
    bundle.config.root.readonly = true;
    bundle.write(
      "cut -d' ' -f5,6 /proc/self/mountinfo | grep -E '^/(ro|file|etc|private|) ' | sort; touch /x /ro/x /etc/x; echo >>/file",
    );
    const { world, path, id } = bundle;
    const inject = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=mount_setattr", "-e"];
    const strace = [
      ...inject,
      "inject=mount_setattr:error=ENOSYS",
      belayPath,
      "--root",
      world.root,
    ];
    const { stdout, stderr } = await world.start([...strace, "run", "--bundle", path, id]).ended;
    assertEquals(stdout.split("\n").slice(0, 5), [
      "/ ro,relatime",
      "/etc ro,relatime",
      "/file ro,relatime",
      "/private rw,relatime",
      "/ro ro,nosuid,noexec,relatime",
    ], stderr);
    assertEquals(stderr.match(/Read-only file system/g)?.length, 4, stderr);
    bundle.mount("/tree", "bind", src, "rbind", "rro");
    bundle.write();
    const refused = await world.start([...strace, "run", "--bundle", path, id]).ended;
    assertStringIncludes(refused.stderr, "mounts[10]");
  },
  noProgram("strace"),
);
