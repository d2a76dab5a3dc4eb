// process.user, args, env, cwd, and the descriptors of the process.
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { contained, host } from "./contained.ts";
import { status } from "./process_world.ts";

// user

contained("process.user gives uid, gid and exactly the additional groups", async (bundle) => {
  bundle.config.process.user = { uid: 1000, gid: 1001, additionalGids: [5, 70000] };
  assertEquals(await status(bundle, "Uid", "Gid", "Groups"), [
    "1000\t1000\t1000\t1000",
    "1001\t1001\t1001\t1001",
    "5 70000",
  ]);
  bundle.config.process.user = { uid: 7, gid: 8 };
  assertEquals(await status(bundle, "Groups"), [""]);
  bundle.config.process.user = { uid: 0, gid: 0 };
  assertEquals(await status(bundle, "Uid", "Groups"), ["0\t0\t0\t0", ""]);
});

contained("process.user takes ids up to 2^32-2, and refuses 2^32-1 by name", async (bundle) => {
  bundle.config.process.user = { uid: 4294967294, gid: 4294967294 };
  assertEquals((await status(bundle, "Uid"))[0]?.split("\t")[0], "4294967294");
  bundle.config.process.user = { uid: 4294967295, gid: 0 };
  assertStringIncludes(await bundle.refused(), "process.user.uid");
  bundle.config.process.user = { uid: 0, gid: 4294967295 };
  assertStringIncludes(await bundle.refused(), "process.user.gid");
  bundle.config.process.user = { uid: 0, gid: 0, additionalGids: [1, 4294967295] };
  assertStringIncludes(await bundle.refused(), "process.user.additionalGids[1]");
});

contained("process.user.umask is the process's umask, 0022 when absent", async (bundle) => {
  assertEquals(await status(bundle, "Umask"), ["0022"]);
  for (const [umask, shown] of [[0o077, "0077"], [0, "0000"], [0o777, "0777"]] as const) {
    bundle.config.process.user = { uid: 0, gid: 0, umask };
    assertEquals(await status(bundle, "Umask"), [shown]);
  }
});

// args, env, cwd

contained(
  "process.args arrive unchanged: empty, long, with spaces, newlines and UTF-8",
  async (bundle) => {
    const words = ["", "a b", "c\nd", "\u{1F980}", "$HOME", "*", "x".repeat(100_000)];
    const script = 'for a in "$@"; do printf "%s\\0" "$a"; done';
    const text = await bundle.ok(["/bin/sh", "-c", script, "sh", ...words]);
    assertEquals(text.split("\0").slice(0, -1), words);
  },
);

contained(
  "process.args[0] is found by PATH of process.env, and is argv[0] as it stands",
  async (bundle) => {
    Deno.mkdirSync(`${bundle.rootfs}/opt`);
    Deno.writeTextFileSync(`${bundle.rootfs}/opt/prog`, "#!/bin/sh\necho found $0\n", {
      mode: 0o755,
    });
    bundle.config.process.env = ["PATH=/nowhere:/opt:/bin"];
    assertEquals(await bundle.ok(["prog"]), "found /opt/prog");
    assertEquals(await bundle.ok(["cat", "/proc/self/cmdline"]), "cat\0/proc/self/cmdline\0");
    bundle.config.process.cwd = "/opt";
    assertEquals(await bundle.ok(["./prog"]), "found ./prog");
  },
);

contained(
  "process.args[0] that cannot run is told by create, in the words that clients parse",
  async (bundle) => {
    Deno.writeTextFileSync(`${bundle.rootfs}/etc/data`, "no program", { mode: 0o644 });
    const cases = [
      ["nosuch", 'exec: "nosuch": executable file not found in $PATH'],
      ["/nosuch", 'exec: "/nosuch": stat /nosuch: no such file or directory'],
      ["/etc/data", 'exec: "/etc/data": permission denied'],
      ["/etc", 'exec: "/etc": is a directory'],
      ["/etc/data/x", 'exec: "/etc/data/x": stat /etc/data/x: not a directory'],
    ];
    for (const [program = "", message = ""] of cases) {
      assertStringIncludes(await bundle.refused([program]), message);
    }
    Deno.writeTextFileSync(`${bundle.rootfs}/bin/odd`, "\0\0", { mode: 0o755 });
    assertStringIncludes(await bundle.refused(["/bin/odd"]), "exec format error");
  },
);

contained("process.env is the environment, and nothing else is but HOME", async (bundle) => {
  const env = ["PATH=/bin", "EMPTY=", "A=1=2", "SPACE= x "];
  bundle.config.process.env = env;
  const text = await bundle.ok(["/bin/cat", "/proc/self/environ"]);
  assertEquals(text.split("\0").slice(0, -1), [...env, "HOME=/root"]);
});

contained("process.env: of several assignments the last one counts", async (bundle) => {
  bundle.config.process.env = [
    "A=1",
    "PATH=/nowhere",
    "HOME=/x",
    "A=",
    "PATH=/bin",
    "HOME=",
    "A=2",
  ];
  const text = await bundle.ok(["cat", "/proc/self/environ"]);
  assertEquals(text.split("\0").slice(0, -1), ["A=2", "PATH=/bin", "HOME=/root"]);
});

contained("HOME comes from the image's passwd, where process.env has none", async (bundle) => {
  const home = async (env: string[], uid = 1000) => {
    bundle.config.process.env = ["PATH=/bin", ...env];
    bundle.config.process.user = { uid, gid: 0 };
    return await bundle.ok('echo "$HOME"');
  };
  const passwd = `${bundle.rootfs}/etc/passwd`;
  Deno.writeTextFileSync(
    passwd,
    "broken\na:x:1000:0::/home/a:/x\nb:x:1000:0::/home/b:/x\nc:x:7:0:::\n",
  );
  assertEquals(await home([]), "/home/a");
  assertEquals(await home(["HOME=/given"]), "/given");
  assertEquals(await home(["HOME="]), "/home/a");
  assertEquals(await home([], 7), "/");
  assertEquals(await home([], 12345), "/");
});

contained(
  "HOME is found without trusting the image's passwd: pipe, link out, directory, huge",
  async (bundle) => {
    const passwd = `${bundle.rootfs}/etc/passwd`;
    const home = async () => await bundle.ok('echo "$HOME"');
    const again = async (make: () => unknown) => {
      await Deno.remove(passwd, { recursive: true });
      await make();
      return await home();
    };
    const canary = "root:x:0:0::/outside:/x\n";
    Deno.writeTextFileSync(`${bundle.host}/passwd`, canary);
    assertEquals(await again(() => host("mkfifo", passwd)), "/");
    assertEquals(await again(() => Deno.mkdirSync(passwd)), "/");
    assertEquals(await again(() => Deno.symlinkSync("/dev/zero", passwd)), "/");
    // A link leads to what is there in the image, never to the host's file.
    assertEquals(await again(() => Deno.symlinkSync(`${bundle.host}/passwd`, passwd)), "/");
    assertEquals(await again(() => Deno.symlinkSync("../../../../etc/real", passwd)), "/");
    Deno.writeTextFileSync(`${bundle.rootfs}/etc/real`, "root:x:0:0::/inside:/x\n");
    assertEquals(await home(), "/inside");
    assertEquals(await again(() => Deno.symlinkSync("passwd", passwd)), "/");
    const huge = () => {
      using file = Deno.openSync(passwd, { write: true, createNew: true });
      file.writeSync(new TextEncoder().encode("root:x:0:0::/big:/x\n"));
      file.truncateSync(2 ** 40);
    };
    assertEquals(await again(huge), "/big");
  },
);

contained(
  "process.cwd is where the process starts; what is missing of it is made",
  async (bundle) => {
    bundle.config.process.cwd = "/made/on/the/way";
    assertEquals(await bundle.ok("pwd; stat -c %a:%u /made/on"), "/made/on/the/way\n755:0");
    bundle.config.process.cwd = "/tmp/../etc/.";
    assertEquals(await bundle.ok("/bin/pwd"), "/etc");
    Deno.symlinkSync("/etc", `${bundle.rootfs}/link`);
    bundle.config.process.cwd = "/link";
    assertEquals(await bundle.ok("/bin/pwd -P"), "/etc");
  },
);

contained("process.cwd may be open to root alone, or to the user alone", async (bundle) => {
  for (const [name, uid] of [["roots", 0], ["users", 1000]] as const) {
    Deno.mkdirSync(`${bundle.rootfs}/${name}`);
    Deno.chownSync(`${bundle.rootfs}/${name}`, uid, uid);
    Deno.chmodSync(`${bundle.rootfs}/${name}`, 0o700);
  }
  bundle.config.process.user = { uid: 1000, gid: 1000 };
  for (const cwd of ["/roots", "/users"]) {
    bundle.config.process.cwd = cwd;
    assertEquals(await bundle.ok("readlink /proc/self/cwd"), cwd);
  }
  // Root in a user namespace is nobody in this directory; the user that it maps may enter.
  Deno.chownSync(`${bundle.rootfs}/users`, 101000, 101000);
  bundle.userNamespace(100_000);
  bundle.config.process.cwd = "/users";
  assertEquals(await bundle.ok("readlink /proc/self/cwd"), "/users");
});

contained("process.cwd that is no directory is refused by name", async (bundle) => {
  Deno.writeTextFileSync(`${bundle.rootfs}/etc/file`, "");
  for (const cwd of ["/etc/file", "/etc/file/below"]) {
    bundle.config.process.cwd = cwd;
    assertStringIncludes(await bundle.refused(), "process.cwd");
  }
});

// stdio and descriptors

contained("stdout that is a pipe can be opened by name by the container's user", async (bundle) => {
  bundle.config.process.user = { uid: 1000, gid: 1000 };
  bundle.write("echo out >/dev/stdout; echo err >/dev/stderr");
  const line = 'belay run --bundle "$1" "$2" 2>&1 | cat';
  const { stdout } = await bundle.world.script(line, [bundle.path, bundle.id]).ended;
  assertEquals(stdout, "out\nerr\n");
});

contained("stdin that is the host's /dev/null becomes the container's own", async (bundle) => {
  const script = 'stat -Lc "%d %t:%T" /proc/self/fd/0 /dev/null';
  const [stdin, own = ""] = (await bundle.ok(script)).split("\n");
  assertEquals(stdin, own);
  assert(own.endsWith(" 1:3"), own);
  assert(own !== `${Deno.statSync("/dev/null").dev} 1:3`, "it is the host's");
});

contained("the container has no descriptor but 0, 1, 2, and those asked for", async (bundle) => {
  bundle.write(["ls", "/proc/self/fd"]);
  const { world, path, id } = bundle;
  const ls = async (flags: string) => {
    // What belay's caller forgot to close must not come along: /etc as 4 and 9.
    const line = `belay run ${flags} --bundle "$1" "$2" 3</etc/passwd 4</etc 5</etc/hosts 9</etc`;
    return (await world.script(line, [path, id]).ended).stdout.trim().split("\n").join(" ");
  };
  assertEquals(await ls(""), "0 1 2 3"); // 3 is ls's own
  assertEquals(await ls("--preserve-fds 1"), "0 1 2 3 4");
  assertEquals(await ls("--preserve-fds 3"), "0 1 2 3 4 5 6");
  bundle.userNamespace(); // whose set-up holds more descriptors of its own
  bundle.write(["ls", "/proc/self/fd"]);
  assertEquals(await ls("--preserve-fds 3"), "0 1 2 3 4 5 6");
  const line = 'belay run --preserve-fds 2 --bundle "$1" "$2" 3</etc/passwd';
  const { code, stderr } = await world.script(line, [path, id]).ended;
  assertEquals(code, 1);
  assertStringIncludes(stderr, "belay was given no descriptor 4");
});
