// linux.uidMappings and gidMappings, and user namespaces by path.
import { assertEquals, assertStringIncludes } from "@std/assert";
import { contained, host } from "./contained.ts";
import { Holder, namespaceOf, seenInside } from "./namespace_world.ts";

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

contained("a user namespace by path that maps too little is told by the field", async (bundle) => {
  const path = `${bundle.world.dir}/pinned`;
  bundle.namespace("user", path);
  for (
    const [first, user, message] of [
      [1, { uid: 1, gid: 1 }, "linux.namespaces: the user namespace that is joined maps no id 0"],
      [0, { uid: 5000, gid: 1 }, "process.user.uid: 5000 is not mapped"],
      [0, { uid: 1, gid: 5001 }, "process.user.gid: 5001 is not mapped"],
      [0, { uid: 1, gid: 1, additionalGids: [2, 5002] }, "additionalGids: one of 2, 5002 is not"],
    ] as const
  ) {
    const map = `${first}:${100_000 + first}:100`;
    const maps = ["--uid-map", map, "--gid-map", map];
    await bundle.world.ok(["userns", "new", ...maps, "--name", path]);
    try {
      bundle.config.process.user = user;
      assertStringIncludes(await bundle.refused(), message);
    } finally {
      await host("umount", path);
      Deno.removeSync(path);
    }
  }
});
