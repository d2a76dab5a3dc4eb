// linux.sysctl, names, annotations, devices, and limits in force.
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { contained, host } from "./contained.ts";
import { may } from "./mount_world.ts";

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
