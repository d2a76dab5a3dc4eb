// Images and configurations that attack: what runc's CVEs taught.
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { noProgram } from "../skip.ts";
import { type Bundle, contained, host } from "./contained.ts";
import { may, source } from "./mount_world.ts";
import { Pidfd } from "../../ffi/pidfd.ts";
import { thread } from "../ffi_world.ts";
import { until } from "./world.ts";

/** Files on the host that nothing may touch. */
function canaries(bundle: Bundle): { path: string; check: () => void } {
  const path = `${bundle.host}/canary`;
  Deno.mkdirSync(path);
  Deno.writeTextFileSync(`${path}/file`, "untouched");
  const mountinfo = Deno.readTextFileSync("/proc/self/mountinfo");
  const check = () => {
    assertEquals([...Deno.readDirSync(path)].map(({ name }) => name), ["file"]);
    assertEquals(Deno.readTextFileSync(`${path}/file`), "untouched");
    assertEquals(Deno.readTextFileSync("/proc/self/mountinfo"), mountinfo);
  };
  return { path, check };
}

// CVE-2019-5736

contained(
  "CVE-2019-5736: /proc/self/exe as the program runs nothing of belay's",
  async (bundle) => {
    Deno.symlinkSync("/proc/self/exe", `${bundle.rootfs}/bin/self-exe`);
    for (
      const program of ["/proc/self/exe", "/bin/self-exe", "/proc/1/exe", "/proc/thread-self/exe"]
    ) {
      assertStringIncludes(await bundle.refused([program]), "permission denied");
    }
    // As the interpreter of a script it is found by execve alone.
    bundle.file("bin/script", "#!/proc/self/exe\n", 0o755);
    assertStringIncludes(await bundle.refused(["/bin/script"]), "permission denied");
    bundle.config.process.user = { uid: 1000, gid: 1000 };
    assertStringIncludes(await bundle.refused(["/proc/self/exe"]), "permission denied");
    bundle.userNamespace();
    assertStringIncludes(await bundle.refused(["/bin/script"]), "permission denied");
  },
);

contained(
  "CVE-2019-5736: the program's own executable and libraries are the image's",
  async (bundle) => {
    assertEquals(await bundle.ok("readlink /proc/1/exe"), "/bin/busybox");
    const maps = await bundle.ok("cat /proc/1/maps");
    assert(!/belay|deno|memfd/.test(maps), maps);
  },
);

// CVE-2016-9962, CVE-2024-21626

/** What a process of container 1 tries on the waiting init of container 2, which shares its pid namespace. */
const PRY = `
  while :; do
    for each in /proc/[0-9]*; do
      [ "$(cat $each/comm 2>/dev/null)" = belay-init ] && break 2
    done
    sleep 0.02
  done
  pid=\${each#/proc/}
  for name in exe root cwd; do readlink $each/$name >/dev/null 2>&1 && echo "read $name"; done
  for fd in 0 1 2 3 4 5 6 7 8 9 10 11 12; do
    [ -e $each/fd/$fd ] && echo "fd $fd"
    cat $each/fd/$fd </dev/null >/dev/null 2>&1 && echo "opened $fd"
  done
  ls $each/root/ >/dev/null 2>&1 && echo "entered root"
  ls $each/cwd/ >/dev/null 2>&1 && echo "entered cwd"
  head -c 1 $each/mem >/dev/null 2>&1 && echo "read mem"
  head -c 1 $each/environ 2>/dev/null | grep -q . && echo "read environ"
  head -c 1 $each/maps 2>/dev/null | grep -q . && echo "read maps"
  nsenter -t $pid -m true 2>/dev/null && echo "entered mount namespace"
  echo done; sleep 1000`;

for (const userNamespace of [false, true]) {
  const where = userNamespace ? "with all capabilities in a user namespace" : "as root";
  contained(`CVE-2016-9962: a waiting init is closed to its siblings ${where}`, async (bundle) => {
    const { world, path, id } = bundle;
    // "As root" is what containers have by default: with CAP_SYS_PTRACE on the host one may look at anything.
    if (userNamespace) {
      bundle.userNamespace();
      may(
        bundle,
        "CAP_SYS_PTRACE",
        "CAP_SYS_ADMIN",
        "CAP_DAC_OVERRIDE",
        "CAP_SYS_CHROOT",
        "CAP_KILL",
      );
    }
    bundle.write(PRY);
    const pryer = world.spawn(["run", "--bundle", path, id]);
    const first = (await until("the first container", async () => {
      const { code, stdout } = await world.belay(["state", id]);
      return code === 0 && JSON.parse(stdout).status === "running" && JSON.parse(stdout);
    })) as { pid: number };
    bundle.namespace("pid", `/proc/${first.pid}/ns/pid`);
    if (userNamespace) bundle.namespace("user", `/proc/${first.pid}/ns/user`);
    bundle.write("echo never");
    await world.ok(["create", "--bundle", path, `${id}2`]);
    using orphan = Pidfd.open(thread, (await world.state(`${id}2`)).pid);
    await until("its look around", () => pryer.stdout().includes("done\n"));
    assertEquals(pryer.stdout(), "done\n");
    await world.ok(["delete", "--force", `${id}2`]);
    // It is this process's child now; the namespace does not end while it is a zombie.
    orphan.reap();
    await world.ok(["delete", "--force", id]);
    await pryer.ended;
  });
}

contained("CVE-2024-21626: a descriptor of belay's is no working directory", async (bundle) => {
  for (let fd = 3; fd < 16; fd++) {
    bundle.config.process.cwd = `/proc/self/fd/${fd}`;
    assertStringIncludes(await bundle.refused("pwd"), "process.cwd");
  }
  for (const target of ["/proc/self/fd/4", "/proc/self/cwd", "/proc/self/root", "/proc/1/root"]) {
    Deno.symlinkSync(target, `${bundle.rootfs}/trap`);
    bundle.config.process.cwd = "/trap";
    assertStringIncludes(await bundle.refused("pwd"), "process.cwd");
    Deno.removeSync(`${bundle.rootfs}/trap`);
  }
});

contained(
  "CVE-2024-21626: a working directory that is a link out leads nowhere but inside",
  async (bundle) => {
    const { path, check } = canaries(bundle);
    Deno.symlinkSync(path, `${bundle.rootfs}/absolute`);
    Deno.symlinkSync(`../../../../../..${path}`, `${bundle.rootfs}/relative`);
    for (const cwd of ["/absolute", "/relative", "/absolute/deeper"]) {
      bundle.config.process.cwd = cwd;
      const text = await bundle.ok("pwd -P; ls -A; echo x >here; readlink /proc/self/cwd");
      assertStringIncludes(text, path);
      assert(!text.includes("unreachable"), text);
      check();
    }
  },
);

contained("the container sees no process but its own, and none of belay's", async (bundle) => {
  may(bundle, "CAP_KILL", "CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE");
  const text = await bundle.ok(
    "for each in /proc/[0-9]*; do echo $(cat $each/comm); done | sort -u",
  );
  assert(!/belay|deno/.test(text), text);
  assertMatch(text, /^(sh|cat|sort)(\n(sh|cat|sort))*$/);
  const environ = await bundle.ok("cat /proc/1/environ /proc/1/cmdline");
  assert(!/belay|deno/i.test(environ), environ);
});

// CVE-2021-30465, CVE-2025-31133 and the rest: places that change while belay works

/** Keeps swapping a directory of the image for a link, as fast as it can, until the end of the block. */
function swapping(bundle: Bundle, name: string, target: string): AsyncDisposable {
  const path = `${bundle.rootfs}/${name}`;
  Deno.mkdirSync(path, { recursive: true });
  Deno.symlinkSync(target, `${path}.link`);
  const code = `
    const path = ${JSON.stringify(path)};
    const tries = [[path, path + ".real"], [path + ".link", path], [path, path + ".link"], [path + ".real", path]];
    for (let round = 0;; round++) {
      const [from, to] = tries[round % 4];
      try {
        Deno.renameSync(from, to);
      } catch { // belay has made a directory where there was nothing for a moment
        if (round % 4 !== 1) continue;
        try {
          if (!Deno.lstatSync(path).isDirectory) continue;
          Deno.removeSync(path, { recursive: true });
        } catch {} // and makes more in it at this moment
        round--;
      }
    }`;
  const racer = bundle.world.start([Deno.execPath(), "eval", "--no-lock", code]);
  return {
    async [Symbol.asyncDispose]() {
      assertEquals(racer.stderr(), "");
      racer.signal("SIGKILL");
      await racer.ended;
    },
  };
}

const ROUNDS = 12;

for (
  const [what, prepare] of [
    [
      "a bind mount",
      (bundle: Bundle) => bundle.mount("/vol/in/side", "bind", source(bundle), "bind"),
    ],
    ["a tmpfs", (bundle: Bundle) => bundle.mount("/vol/in", "tmpfs", "tmpfs")],
    [
      "a file",
      (bundle: Bundle) => bundle.mount("/vol/new", "bind", `${source(bundle)}/file`, "bind"),
    ],
    ["a working directory", (bundle: Bundle) => (bundle.config.process.cwd = "/vol/work")],
    ["a device", (bundle: Bundle) => {
      bundle.config.linux.devices = [{ path: "/vol/dev", type: "c", major: 1, minor: 3 }];
    }],
    [
      "a masked path",
      (bundle: Bundle) => bundle.config.linux.maskedPaths.push("/vol", "/vol/file"),
    ],
    ["a read-only path", (bundle: Bundle) => bundle.config.linux.readonlyPaths.push("/vol")],
  ] as const
) {
  contained(
    `CVE-2021-30465: ${what} behind a directory that is swapped for a link stays inside`,
    async (bundle) => {
      const { path, check } = canaries(bundle);
      prepare(bundle);
      {
        await using _racer = swapping(bundle, "vol", path);
        let worked = 0;
        for (let round = 0; round < ROUNDS; round++) {
          const { code, stderr } = await bundle.run(["true"]);
          // A failure is an answer, too, but a told one: never a crash, never a mount elsewhere.
          if (code === 0) worked++;
          else assertMatch(stderr, /level=error msg="belay run failed: (?!internal)/);
          check();
        }
        console.log(`${worked} of ${ROUNDS} runs worked while ${what} was raced`);
      }
      check();
    },
  );
}

contained(
  "CVE-2025-31133: what masks is the host's null device, not the image's",
  async (bundle) => {
    const { path, check } = canaries(bundle);
    bundle.config.mounts = bundle.config.mounts.filter((each: { destination: string }) =>
      !each.destination.startsWith("/dev")
    );
    bundle.file("etc/secret", "secret");
    bundle.config.linux.maskedPaths = ["/etc/secret", "/proc/keys"];
    const script = "cat /etc/secret; stat -c %t:%T /etc/secret /proc/keys";
    for (const target of ["/etc/passwd", `${path}/file`, "/proc/self/environ", "/etc/fake"]) {
      Deno.symlinkSync(target, `${bundle.rootfs}/dev/null`);
      assertEquals(await bundle.ok(script), "1:3\n1:3");
      Deno.removeSync(`${bundle.rootfs}/dev/null`);
      check();
    }
    bundle.file("dev/null", "a plain file");
    assertEquals(await bundle.ok(script), "1:3\n1:3");
  },
);

contained(
  "CVE-2025-52565: a /dev/console that is a link is refused, wherever it leads",
  async (bundle) => {
    const { path, check } = canaries(bundle);
    bundle.config.process.terminal = true;
    bundle.config.mounts = bundle.config.mounts.filter((each: { destination: string }) =>
      each.destination !== "/dev"
    );
    const { world, id } = bundle;
    const onTerminal = async () => {
      bundle.write("echo in; stat -c %t /dev/console");
      const belay = `"$BELAY" --root "$ROOT" run --bundle '${bundle.path}' ${id}`;
      return (await world.script(`script -qec '${belay.replaceAll("'", `'"'"'`)}' /dev/null`).ended)
        .stdout;
    };
    assertMatch(await onTerminal(), /^in\r\n88\r\n$/);
    Deno.removeSync(`${bundle.rootfs}/dev/console`);
    for (
      const target of ["/proc/sys/kernel/core_pattern", "/etc/passwd", `${path}/file`, "/nowhere"]
    ) {
      Deno.symlinkSync(target, `${bundle.rootfs}/dev/console`);
      assertStringIncludes(await onTerminal(), "/dev/console of the image is a symbolic link");
      Deno.removeSync(`${bundle.rootfs}/dev/console`);
      check();
    }
  },
  noProgram("script", "bsdutils"),
);

contained(
  "CVE-2025-52881: a sysctl goes to a procfs, and to no file that looks like one",
  async (bundle) => {
    const { path, check } = canaries(bundle);
    const own = Deno.readTextFileSync("/proc/sys/net/ipv4/ip_default_ttl");
    bundle.config.linux.sysctl = { "net.ipv4.ip_default_ttl": "77" };
    bundle.config.linux.maskedPaths = bundle.config.linux.readonlyPaths = [];
    bundle.config.mounts = bundle.config.mounts.filter((each: { type: string }) =>
      each.type !== "proc"
    );
    const { file } = { file: "proc/sys/net/ipv4/ip_default_ttl" };
    bundle.file(file, "fake");
    assertEquals(await bundle.ok(["cat", `/${file}`]), "fake");
    // In a real /proc of the network namespace it would have arrived.
    may(bundle, "CAP_SYS_ADMIN");
    const look =
      "mkdir /tmp/p; mount -t proc proc /tmp/p && cat /tmp/p/sys/net/ipv4/ip_default_ttl";
    assertEquals(await bundle.ok(look), "77");
    await Deno.remove(`${bundle.rootfs}/proc`, { recursive: true });
    Deno.symlinkSync(path, `${bundle.rootfs}/proc`);
    assertEquals(
      await bundle.ok(
        "mkdir -p /tmp/p; mount -t proc proc /tmp/p; cat /tmp/p/sys/net/ipv4/ip_default_ttl",
      ),
      "77",
    );
    check();
    assertEquals(Deno.readTextFileSync("/proc/sys/net/ipv4/ip_default_ttl"), own);
  },
);

contained(
  "CVE-2019-19921: a mount through a link into /proc is refused, whatever it is called",
  async (bundle) => {
    Deno.symlinkSync("/proc/sys", `${bundle.rootfs}/innocent`);
    Deno.symlinkSync("/proc", `${bundle.rootfs}/alias`);
    const src = source(bundle);
    for (
      const destination of [
        "/innocent",
        "/innocent/kernel",
        "/alias",
        "/alias/self/attr",
        "/alias/sys/net",
      ]
    ) {
      bundle.mount(destination, "bind", src, "bind");
      const message = await bundle.refused();
      assertStringIncludes(message, "mounts[7]");
      bundle.config.mounts.pop();
      bundle.mount(destination, "tmpfs", "tmpfs");
      assertStringIncludes(await bundle.refused(), "mounts[7]");
      bundle.config.mounts.pop();
    }
  },
);

contained("an image of links out of itself harms nobody", async (bundle) => {
  const { path, check } = canaries(bundle);
  for (const name of ["dev", "sys", "proc", "etc", "tmp"]) {
    await Deno.remove(`${bundle.rootfs}/${name}`, { recursive: true });
    Deno.symlinkSync(`../../../../../../../..${path}`, `${bundle.rootfs}/${name}`);
  }
  assertMatch(await bundle.refused(), /mounts\[\d\]/);
  check();
  bundle.config.mounts = bundle.config.mounts.filter((each: { type: string }) =>
    !/proc|sysfs/.test(each.type)
  );
  bundle.config.linux.maskedPaths = bundle.config.linux.readonlyPaths = [];
  await bundle.run("echo fine");
  check();
});

contained(
  "a root directory that is a link, or lies behind one, is what the link says once",
  async (bundle) => {
    const other = `${bundle.path}/other`;
    Deno.renameSync(bundle.rootfs, other);
    Deno.symlinkSync("other", bundle.rootfs);
    assertEquals(await bundle.ok("echo linked"), "linked");
    await host("rm", bundle.rootfs);
    Deno.renameSync(other, bundle.rootfs);
  },
);
