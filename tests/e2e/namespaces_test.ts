// linux.namespaces: new, absent, and by path, of every type.
import { assert, assertEquals, assertNotEquals, assertStringIncludes } from "@std/assert";
import { noFile, type Obstacle } from "../skip.ts";
import { type Bundle, contained, host } from "./contained.ts";
import { descendants } from "./census.ts";
import { type Running, until } from "./world.ts";

/** The specification's names, and those of /proc/PID/ns. */
const TYPES = {
  ...{ pid: "pid", network: "net", mount: "mnt", ipc: "ipc", uts: "uts", cgroup: "cgroup" },
  ...{ time: "time", user: "user" },
} as const;
type Type = keyof typeof TYPES;
const FLAGS: Record<Type, string> = {
  ...{ pid: "-p", network: "-n", mount: "-m", ipc: "-i", uts: "-u", cgroup: "-C", time: "-T" },
  user: "-U",
};

const noTime: Obstacle = noFile("/proc/self/ns/time");

/** A namespace of a process, as `net:[4026531840]`. */
function namespaceOf(type: Type, pid: number | "self" = "self"): string {
  return Deno.readLinkSync(`/proc/${pid}/ns/${TYPES[type]}`);
}

/** What the container says that its namespace is. */
function seenInside(bundle: Bundle, type: Type): Promise<string> {
  return bundle.ok(["readlink", `/proc/self/ns/${TYPES[type]}`]);
}

/** What it has printed, also before the shell has made the file. */
function printed(running: Running): string {
  try {
    return running.stdout();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  }
}

/** A process with namespaces of its own, until the end of the block. */
class Holder implements AsyncDisposable {
  private constructor(private readonly running: Running, readonly pid: number) {}

  /** @param script What it runs before it sleeps. */
  static async start(bundle: Bundle, flags: readonly string[], script = ""): Promise<Holder> {
    const running = bundle.world.start(
      ["unshare", ...flags, "bash", "-c", `${script}\necho ready; exec sleep 1000`],
    );
    await until("the holder of namespaces", () => printed(running).includes("ready\n"));
    if (flags.includes("-U")) {
      for (const kind of ["uid", "gid"]) {
        Deno.writeTextFileSync(`/proc/${running.pid}/${kind}_map`, "0 100000 65536\n");
      }
    }
    // unshare --fork leaves its child in the namespaces.
    const forks = flags.includes("--fork");
    const child = Deno.readTextFileSync(`/proc/${running.pid}/task/${running.pid}/children`);
    return new Holder(running, forks ? Number(child) : running.pid);
  }

  path(type: Type): string {
    return `/proc/${this.pid}/ns/${TYPES[type]}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    Deno.kill(this.pid, "SIGKILL");
    await this.running.ended;
  }
}

for (const type of Object.keys(TYPES) as Type[]) {
  contained(
    `linux.namespaces ${type}: a new one is not the host's, none is the host's`,
    async (bundle) => {
      if (type === "user") bundle.userNamespace();
      else bundle.namespace(type);
      const made = await seenInside(bundle, type);
      assertNotEquals(made, namespaceOf(type));
      bundle.without(type);
      if (type === "mount") {
        assertStringIncludes(await bundle.refused(), "linux.namespaces");
        return;
      }
      if (type === "user") bundle.config.linux.uidMappings = bundle.config.linux.gidMappings = [];
      if (type === "uts") delete bundle.config.hostname;
      // Without a network namespace sysfs cannot be mounted in a user namespace; here there is none.
      assertEquals(await seenInside(bundle, type), namespaceOf(type));
    },
    type === "time" ? noTime : undefined,
  );

  contained(`linux.namespaces ${type}: by path it is that one`, async (bundle) => {
    const flags = type === "pid" ? ["-p", "--fork", "--mount-proc"] : [FLAGS[type]];
    if (type === "time") flags.push("--fork");
    await using holder = await Holder.start(bundle, flags);
    bundle.namespace(type, holder.path(type));
    assertEquals(await seenInside(bundle, type), namespaceOf(type, holder.pid));
    assertEquals(await bundle.ok("echo again"), "again");
  }, type === "time" ? noTime : undefined);

  contained(
    `linux.namespaces ${type}: a path of another type, or to nothing, is refused by name`,
    async (bundle) => {
      const wrong = type === "ipc" ? "uts" : "ipc";
      const at = () => {
        const { namespaces } = bundle.config.linux;
        return namespaces.findIndex((each: { type: string }) => each.type === type);
      };
      for (const path of [`/proc/self/ns/${wrong}`, "/nonexistent/ns", "/etc/passwd"]) {
        bundle.namespace(type, path);
        const message = await bundle.refused();
        assertStringIncludes(message, `linux.namespaces[${at()}].path`);
        assertStringIncludes(message, path);
      }
      bundle.namespace(type, "relative/path");
      assertStringIncludes(await bundle.refused(), `linux.namespaces[${at()}].path`);
    },
    type === "time" ? noTime : undefined,
  );
}

contained("linux.namespaces: all at once, new", async (bundle) => {
  bundle.userNamespace();
  for (const type of ["cgroup", "time"]) bundle.namespace(type);
  const inside = (await bundle.ok("for each in /proc/self/ns/*; do readlink $each; done")).split(
    "\n",
  );
  const outside = [...Deno.readDirSync("/proc/self/ns")].map(({ name }) =>
    Deno.readLinkSync(`/proc/self/ns/${name}`)
  );
  assertEquals(inside.filter((each) => outside.includes(each)), []);
}, noTime);

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
    // The hook has lost its parent, and would sleep on.
    const hooks = descendants().filter(({ pid, name }) => name === "sleep" && pid !== holder.pid);
    assertEquals(hooks.length, 1);
    for (const { pid } of hooks) Deno.kill(pid, "SIGKILL");
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

// time

contained("linux.timeOffsets are seen on the clocks inside", async (bundle) => {
  bundle.namespace("time");
  bundle.config.linux.timeOffsets = {
    boottime: { secs: 86400 * 1000, nanosecs: 5 },
    monotonic: { secs: 500, nanosecs: 0 },
  };
  const script = "cat /proc/self/timens_offsets; cut -d. -f1 /proc/uptime";
  const lines = (await bundle.ok(script)).split("\n").map((line) => line.split(/\s+/));
  assertEquals(lines.slice(0, 2), [["monotonic", "500", "0"], ["boottime", "86400000", "5"]]);
  const uptime = Number(Deno.readTextFileSync("/proc/uptime").split(".")[0]);
  assert(Math.abs(Number(lines[2]?.[0]) - uptime - 86400 * 1000) < 1000, lines.join());
  bundle.userNamespace();
  assertStringIncludes(await bundle.ok("cat /proc/self/timens_offsets"), "86400000");
  bundle.config.linux.timeOffsets = { boottime: { secs: -(10 ** 9) } };
  assertStringIncludes(await bundle.refused(), "linux.timeOffsets");
}, noTime);

contained("linux.timeOffsets without a new time namespace are refused", async (bundle) => {
  bundle.config.linux.timeOffsets = { monotonic: { secs: 1 } };
  assertStringIncludes(await bundle.refused(), "linux.timeOffsets");
  bundle.namespace("time", "/proc/self/ns/time");
  assertStringIncludes(await bundle.refused(), "linux.timeOffsets");
}, noTime);

// cgroup

contained(
  "linux.namespaces cgroup: the container's cgroup is the root of what it sees",
  async (bundle) => {
    const cgroup = "cut -d: -f3 /proc/self/cgroup | sort -u | tail -1";
    assertNotEquals(await bundle.ok(cgroup), "/");
    bundle.namespace("cgroup");
    // Hierarchies without directories of the container's show the caller's.
    assertEquals((await bundle.ok("cut -d: -f3 /proc/self/cgroup | sort -u")).split("\n"), ["/"]);
  },
);

// user

contained("linux.uidMappings and gidMappings: ids inside are those ids outside", async (bundle) => {
  bundle.namespace("user");
  bundle.config.linux.uidMappings = [
    { containerID: 0, hostID: 100000, size: 1000 },
    { containerID: 1000, hostID: 5000, size: 1 },
    { containerID: 70000, hostID: 200000, size: 10 },
  ];
  bundle.config.linux.gidMappings = [{ containerID: 0, hostID: 300000, size: 80000 }];
  Deno.mkdirSync(`${bundle.rootfs}/out`);
  Deno.chmodSync(`${bundle.rootfs}/out`, 0o777);
  const outside = (name: string) => {
    const { uid, gid } = Deno.lstatSync(`${bundle.rootfs}/out/${name}`);
    return [uid, gid];
  };
  const text = await bundle.ok("cat /proc/self/uid_map /proc/self/gid_map; id -u; touch /out/root");
  const numbers = text.split("\n").map((line) => line.trim().split(/\s+/).map(Number));
  assertEquals(numbers, [
    ...[[0, 100000, 1000], [1000, 5000, 1], [70000, 200000, 10]],
    ...[[0, 300000, 80000], [0]],
  ]);
  assertEquals(outside("root"), [100000, 300000]);
  bundle.config.process.user = { uid: 1000, gid: 70001, additionalGids: [5] };
  assertEquals(await bundle.ok("id -u; id -G; touch /out/user"), "1000\n70001 5");
  assertEquals(outside("user"), [5000, 370001]);
  bundle.config.process.user = { uid: 70009, gid: 0 };
  assertEquals(await bundle.ok("id -u; touch /out/other"), "70009");
  assertEquals(outside("other"), [200009, 300000]);
  bundle.config.process.user = { uid: 70010, gid: 0 };
  assertStringIncludes(await bundle.refused(), "process.user.uid");
});

contained("a user namespace has devices, /dev, /proc and /sys as without", async (bundle) => {
  bundle.userNamespace();
  bundle.config.linux.devices = [{
    path: "/dev/fuse",
    type: "c",
    major: 1,
    minor: 3,
    fileMode: 0o666,
  }];
  const script = `
    for d in null zero full random urandom tty; do stat -c "%n %t:%T" /dev/$d; done
    echo x >/dev/null && head -c 3 /dev/zero | wc -c
    for link in stdin fd ptmx; do readlink /dev/$link; done
    stat -f -c %T /proc /sys /dev/pts /dev/mqueue /dev/shm`;
  bundle.config.linux.devices = [];
  const expected =
    "/dev/null 1:3\n/dev/zero 1:5\n/dev/full 1:7\n/dev/random 1:8\n/dev/urandom 1:9\n/dev/tty 5:0\n3\n" +
    "/proc/self/fd/0\n/proc/self/fd\npts/ptmx\n";
  const text = await bundle.ok(script);
  assertEquals(text.slice(0, expected.length), expected);
  bundle.without("user");
  bundle.config.linux.uidMappings = bundle.config.linux.gidMappings = [];
  assertEquals(await bundle.ok(script), text);
});

contained(
  "a user namespace: rootfs and sources in directories that only the host's root may enter",
  async (bundle) => {
    bundle.userNamespace();
    const { world, path, rootfs } = bundle;
    Deno.mkdirSync(`${world.dir}/secret/src`, { recursive: true });
    Deno.writeTextFileSync(`${world.dir}/secret/src/file`, "source");
    Deno.writeTextFileSync(`${world.dir}/secret/single`, "single");
    bundle.mount("/mnt/dir", "bind", `${world.dir}/secret/src`, "rbind", "ro", "nosuid", "nodev");
    bundle.mount("/mnt/file", "bind", `${world.dir}/secret/single`, "bind");
    for (const each of [`${world.dir}/secret`, path]) Deno.chmodSync(each, 0o700);
    // The image belongs to the container's root, as an unpacked image for a user namespace does.
    await host("chown", "-R", "100000:100000", rootfs);
    Deno.chownSync(path, 12345, 12345);
    assertEquals(await bundle.ok("cat /mnt/dir/file /mnt/file"), "sourcesingle");
  },
);

contained(
  "a user namespace whose root may not write to the image still gets its mounts",
  async (bundle) => {
    bundle.userNamespace();
    // Everything that must be there is there; nothing has to be made.
    for (const name of ["dev", "proc", "sys", "mnt"]) {
      Deno.mkdirSync(`${bundle.rootfs}/${name}`, {
        recursive: true,
      });
    }
    Deno.mkdirSync(`${bundle.host}/src`);
    bundle.mount("/mnt", "bind", `${bundle.host}/src`, "rbind");
    bundle.config.root.readonly = true;
    assertEquals(await bundle.ok("echo fine"), "fine");
    bundle.mount("/missing", "tmpfs", "tmpfs");
    assertStringIncludes(await bundle.refused(), "mounts[8]");
  },
);

contained(
  "a user namespace by path, with a network namespace of it or of the host",
  async (bundle) => {
    await using owner = await Holder.start(bundle, ["-U", "-n"]);
    await using stranger = await Holder.start(bundle, ["-n"]);
    bundle.namespace("user", owner.path("user"));
    for (
      const { path, pid } of [owner, stranger].map((each) => ({
        path: each.path("network"),
        pid: each.pid,
      }))
    ) {
      bundle.namespace("network", path);
      // sysfs shows a network namespace, and may be mounted by its owner alone.
      const bySysfs = bundle.config.mounts;
      if (pid === stranger.pid) {
        assertStringIncludes(await bundle.refused(), "sysfs");
        bundle.config.mounts = bySysfs.filter((each: { type: string }) =>
          each.type !== "sysfs" && each.type !== "cgroup"
        );
      }
      assertEquals(await seenInside(bundle, "network"), namespaceOf("network", pid));
      assertEquals(await seenInside(bundle, "user"), namespaceOf("user", owner.pid));
      bundle.config.mounts = bySysfs;
    }
  },
);

contained("linux.uidMappings that the kernel refuses are told by their names", async (bundle) => {
  bundle.userNamespace(100000, 65536);
  bundle.config.linux.uidMappings = [{ containerID: 0, hostID: 4294967290, size: 10 }];
  assertStringIncludes(await bundle.refused(), "linux.uidMappings");
});

// pid

contained(
  "linux.namespaces pid by path: the process is one of many, and all of its own end with it",
  async (bundle) => {
    await using holder = await Holder.start(bundle, ["-p", "--fork", "--mount-proc"]);
    bundle.namespace("pid", holder.path("pid"));
    assertNotEquals(await bundle.ok("echo $$"), "1");
    // In the foreground: belay reaps its child, as a namespace of pids cannot end while one of it is a zombie.
    const running = bundle.spawn("sleep 1000 & sleep 1000 & echo up; wait");
    await until("its children", () => printed(running) === "up\n");
    await bundle.world.ok(["delete", "--force", bundle.id]);
    assertEquals((await running.ended).code, 137);
    // The census of the test says that they are gone; the holder, pid 1 there, must live.
    Deno.kill(holder.pid, "SIGCONT");
  },
);
