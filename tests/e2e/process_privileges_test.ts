// process.capabilities, rlimits, noNewPrivileges and oomScoreAdj.
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { contained } from "./contained.ts";
import { CAP_SYS_RESOURCE, has, status } from "./process_world.ts";

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
