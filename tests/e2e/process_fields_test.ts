// Every field of `process`, as the container's process finds it.
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { type Bundle, contained, host } from "./contained.ts";

/** A field of the test's own /proc/self/status. */
function ownStatus(field: string): string {
  const text = Deno.readTextFileSync("/proc/self/status");
  return new RegExp(`^${field}:(.*)$`, "m").exec(text)?.[1]?.trim() ?? "";
}

const CAP_SYS_RESOURCE = 24n;
const has = (bit: bigint): boolean => (BigInt(`0x${ownStatus("CapEff")}`) & (1n << bit)) !== 0n;

/** Fields of /proc/self/status, in order. */
async function status(bundle: Bundle, ...fields: string[]): Promise<string[]> {
  const text = await bundle.ok("cat /proc/self/status");
  return fields.map((field) => new RegExp(`^${field}:(.*)$`, "m").exec(text)?.[1]?.trim() ?? "");
}

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
  const env = ["PATH=/bin", "EMPTY=", "A=1=2", "A=second", "SPACE= x "];
  bundle.config.process.env = env;
  const text = await bundle.ok(["/bin/cat", "/proc/self/environ"]);
  assertEquals(text.split("\0").slice(0, -1), [...env, "HOME=/root"]);
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

// capabilities

const NET_BIND = 1n << 10n;
const KILL = 1n << 5n;
const CHOWN = 1n;
const hex = (bits: bigint) => bits.toString(16).padStart(16, "0");
const SETS = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];

contained("process.capabilities are the five sets of a root process", async (bundle) => {
  bundle.config.process.capabilities = {
    bounding: ["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE"],
    permitted: ["CAP_KILL", "CAP_NET_BIND_SERVICE"],
    effective: ["CAP_KILL", "CAP_NET_BIND_SERVICE"],
    inheritable: ["CAP_KILL"],
    ambient: [],
  };
  // execve by root grants what bounding allows, but under noNewPrivileges no more than there was (capabilities(7)).
  bundle.config.process.noNewPrivileges = false;
  const all = CHOWN | KILL | NET_BIND;
  assertEquals(await status(bundle, ...SETS), [KILL, all, all, all, 0n].map(hex));
  bundle.config.process.noNewPrivileges = true;
  const had = KILL | NET_BIND;
  assertEquals(await status(bundle, ...SETS), [KILL, had, had, all, 0n].map(hex));
  delete bundle.config.process.capabilities;
  assertEquals(await status(bundle, ...SETS), [0n, 0n, 0n, 0n, 0n].map(hex));
});

contained(
  "process.capabilities of another user: only ambient ones survive its execve",
  async (bundle) => {
    bundle.config.process.user = { uid: 1000, gid: 1000 };
    const names = ["CAP_KILL", "CAP_NET_BIND_SERVICE"];
    bundle.config.process.capabilities = {
      ...{ bounding: names, permitted: names, effective: names, inheritable: names },
      ambient: ["CAP_NET_BIND_SERVICE"],
    };
    const both = KILL | NET_BIND;
    assertEquals(
      await status(bundle, ...SETS),
      [both, NET_BIND, NET_BIND, both, NET_BIND].map(hex),
    );
    bundle.config.process.capabilities.ambient = [];
    assertEquals(await status(bundle, ...SETS), [both, 0n, 0n, both, 0n].map(hex));
  },
);

contained("process.capabilities in a new user namespace are all to be had", async (bundle) => {
  bundle.userNamespace(100_000);
  const names = ["CAP_SYS_ADMIN", "CAP_SYS_RESOURCE"];
  bundle.config.process.capabilities = { bounding: names, permitted: names, effective: names };
  assertEquals((await status(bundle, "CapEff"))[0], hex((1n << 21n) | (1n << 24n)));
});

contained(
  "process.capabilities that belay does not have are refused, naming the entry",
  async (bundle) => {
    const names = ["CAP_KILL", "CAP_SYS_RESOURCE"];
    for (const set of ["bounding", "permitted", "inheritable"]) {
      bundle.config.process.capabilities = { [set]: names };
      const message = await bundle.refused();
      assertStringIncludes(message, `process.capabilities.${set}[1]`);
      assertStringIncludes(message, "CAP_SYS_RESOURCE");
    }
  },
  has(CAP_SYS_RESOURCE) ? "this root has CAP_SYS_RESOURCE" : undefined,
);

contained(
  "process.capabilities with unknown names are a warning, and the rest counts",
  async (bundle) => {
    const names = ["CAP_KILL", "CAP_KIL"];
    bundle.config.process.capabilities = { bounding: names, permitted: names, effective: names };
    const { code, stdout, stderr } = await bundle.run("grep CapEff /proc/self/status");
    assertEquals([code, stdout], [0, `CapEff:\t${hex(KILL)}\n`]);
    assertStringIncludes(stderr, "CAP_KIL");
  },
);

// rlimits

/** The lines of /proc/PID/limits, and what each is called in config.json. */
const LIMITS = {
  RLIMIT_CPU: "Max cpu time",
  RLIMIT_FSIZE: "Max file size",
  RLIMIT_DATA: "Max data size",
  RLIMIT_STACK: "Max stack size",
  RLIMIT_CORE: "Max core file size",
  RLIMIT_RSS: "Max resident set",
  RLIMIT_NPROC: "Max processes",
  RLIMIT_NOFILE: "Max open files",
  RLIMIT_MEMLOCK: "Max locked memory",
  RLIMIT_AS: "Max address space",
  RLIMIT_LOCKS: "Max file locks",
  RLIMIT_SIGPENDING: "Max pending signals",
  RLIMIT_MSGQUEUE: "Max msgqueue size",
  RLIMIT_NICE: "Max nice priority",
  RLIMIT_RTPRIO: "Max realtime priority",
  RLIMIT_RTTIME: "Max realtime timeout",
} as const;

const UNLIMITED = 2n ** 64n - 1n;

/** Soft and hard limits of a /proc/PID/limits. */
function limitsOf(text: string): Record<string, [bigint, bigint]> {
  const value = (word = "") => word === "unlimited" ? UNLIMITED : BigInt(word);
  return Object.fromEntries(
    Object.entries(LIMITS).map(([type, name]) => {
      const line = text.split("\n").find((each) => each.startsWith(name)) ?? "";
      const [soft, hard] = line.slice(26).trim().split(/\s+/);
      return [type, [value(soft), value(hard)]];
    }),
  );
}

contained("process.rlimits of every type, lowered below what belay itself has", async (bundle) => {
  const own = limitsOf(Deno.readTextFileSync("/proc/self/limits"));
  const wanted = Object.entries(own).map(([type, [, hard]]) => {
    const lower = hard === UNLIMITED ? 2n ** 40n : hard > 1n ? hard - 1n : hard;
    return [type, [lower > 0n ? lower - 1n : 0n, lower]] as const;
  });
  bundle.config.process.rlimits = wanted.map(([type, [soft, hard]]) => ({
    ...{ type, soft: Number(soft), hard: Number(hard) },
  }));
  assertEquals(limitsOf(await bundle.ok("cat /proc/self/limits")), Object.fromEntries(wanted));
});

contained("process.rlimits so small that a runtime could not work under them", async (bundle) => {
  const limited = async (type: string, limit: number, script: string | string[]) => {
    bundle.config.process.rlimits = [{ type, soft: limit, hard: limit }];
    return await bundle.run(script);
  };
  const nofile = await limited("RLIMIT_NOFILE", 3, ["cat", "/proc/self/limits"]);
  assertEquals(nofile.code, 1, nofile.stdout + nofile.stderr); // cat runs, and cannot open
  assertStringIncludes(nofile.stderr, "Too many open files");
  assertEquals((await limited("RLIMIT_NOFILE", 4, ["cat", "/proc/self/limits"])).code, 0);
  assertEquals((await limited("RLIMIT_NOFILE", 0, ["true"])).code, 0);
  assertEquals((await limited("RLIMIT_FSIZE", 0, ["true"])).code, 0);
  assertEquals((await limited("RLIMIT_AS", 16 << 20, ["echo", "x"])).stdout, "x\n");
  bundle.config.process.user = { uid: 54321, gid: 0 };
  const forked = await limited("RLIMIT_NPROC", 1, "(exit 0) && echo forked");
  assertStringIncludes(forked.stdout + forked.stderr, "Resource temporarily unavailable");
});

contained(
  "process.rlimits above the hard limit name the entry when belay may not raise it",
  async (bundle) => {
    const hard = limitsOf(Deno.readTextFileSync("/proc/self/limits")).RLIMIT_NOFILE?.[1] ?? 0n;
    bundle.config.process.rlimits = [
      { type: "RLIMIT_CORE", soft: 0, hard: 0 },
      { type: "RLIMIT_NOFILE", soft: 10, hard: Number(hard) + 1 },
    ];
    const message = await bundle.refused();
    assertStringIncludes(message, "process.rlimits[1]");
    assertStringIncludes(message, "RLIMIT_NOFILE");
  },
  has(CAP_SYS_RESOURCE) ? "this root has CAP_SYS_RESOURCE" : undefined,
);

contained("process.rlimits above the hard limit are raised where belay may", async (bundle) => {
  const hard = limitsOf(Deno.readTextFileSync("/proc/self/limits")).RLIMIT_NPROC?.[1] ?? 0n;
  bundle.config.process.rlimits = [{ type: "RLIMIT_NPROC", soft: 10, hard: Number(hard) + 1 }];
  const limits = limitsOf(await bundle.ok("cat /proc/self/limits"));
  assertEquals(limits.RLIMIT_NPROC, [10n, hard + 1n]);
}, has(CAP_SYS_RESOURCE) ? undefined : "this root has no CAP_SYS_RESOURCE");

// noNewPrivileges, oomScoreAdj

contained(
  "process.noNewPrivileges decides whether a set-user-ID program makes root",
  async (bundle) => {
    // busybox gives privileges up that an applet does not need, but says so for one that insists on them.
    Deno.mkdirSync(`${bundle.rootfs}/suid`);
    Deno.copyFileSync("/bin/busybox", `${bundle.rootfs}/suid/cat`);
    Deno.chmodSync(`${bundle.rootfs}/suid/cat`, 0o4755);
    bundle.config.process.user = { uid: 1000, gid: 1000 };
    for (const [noNewPrivileges, saved] of [[false, "0"], [true, "1000"]] as const) {
      bundle.config.process.noNewPrivileges = noNewPrivileges;
      const text = await bundle.ok(["/suid/cat", "/proc/self/status"]);
      // The saved id is what execve made of the program's owner.
      assertMatch(text, new RegExp(`^Uid:\\t1000\\t1000\\t${saved}\\t`, "m"));
      assertMatch(text, new RegExp(`^NoNewPrivs:\\t${Number(noNewPrivileges)}$`, "m"));
    }
  },
);

contained(
  "process.oomScoreAdj is written, and inherited from belay when absent",
  async (bundle) => {
    const own = Deno.readTextFileSync("/proc/self/oom_score_adj").trim();
    assertEquals(await bundle.ok("cat /proc/self/oom_score_adj"), own);
    bundle.config.process.oomScoreAdj = 500;
    assertEquals(await bundle.ok("cat /proc/self/oom_score_adj"), "500");
    bundle.config.process.oomScoreAdj = 1001;
    assertStringIncludes(await bundle.refused(), "process.oomScoreAdj");
  },
);

contained("process.oomScoreAdj below belay's own", async (bundle) => {
  bundle.config.process.oomScoreAdj = -500;
  assertEquals(await bundle.ok("cat /proc/self/oom_score_adj"), "-500");
}, has(CAP_SYS_RESOURCE) ? undefined : "this root has no CAP_SYS_RESOURCE");

contained("process.oomScoreAdj that belay may not set is refused by name", async (bundle) => {
  bundle.config.process.oomScoreAdj = -1000;
  assertStringIncludes(await bundle.refused(), "process.oomScoreAdj");
}, has(CAP_SYS_RESOURCE) ? "this root has CAP_SYS_RESOURCE" : undefined);

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
