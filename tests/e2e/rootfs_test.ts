// root, linux.rootfsPropagation, maskedPaths and readonlyPaths.
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { noProgram } from "../skip.ts";
import { contained, host } from "./contained.ts";
import { inMounts, may, mounts, parseMounts, source } from "./mount_world.ts";
import { belayPath } from "./world.ts";

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

contained(
  "linux.readonlyPaths may have the root itself, which then is read-only",
  async (bundle) => {
    bundle.mount("/vol", "tmpfs", "tmpfs");
    for (const path of ["/", "/etc/.."]) {
      bundle.config.linux.readonlyPaths = [path];
      const { stdout, stderr } = await bundle.run(
        "touch /x; touch /etc/x; touch /vol/x && echo below",
      );
      assertEquals(stdout, "below\n");
      assertEquals(stderr.match(/Read-only file system/g)?.length, 2, stderr);
    }
  },
);

// an old kernel

contained(
  "bind mounts and read-only paths work where mount_setattr is missing (before Linux 5.12)",
  async (bundle) => {
    const src = source(bundle);
    bundle.mount("/ro", "bind", src, "bind", "ro", "nosuid", "noexec");
    bundle.mount("/file", "bind", `${src}/file`, "bind", "ro");
    bundle.mount("/private", "bind", src, "rbind", "rprivate");
    bundle.config.linux.readonlyPaths = ["/etc", "/proc/sys", "/"];
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
