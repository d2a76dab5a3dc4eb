// linux.seccomp: what a program in the container hears of its system calls.
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { validateTrace } from "../trace_format.ts";
import { type Bundle, contained, errorIn, host } from "./contained.ts";
import { status } from "./process_world.ts";
import { notX86, NR, rawSyscall } from "./raw_syscall.ts";
import { called, ENOENT, ENOSYS, EPERM, noLibseccomp, only, SIGSYS_CODE } from "./seccomp_world.ts";
import { belayPath, until } from "./world.ts";

const obstacles = [noLibseccomp(), notX86()];

contained("linux.seccomp: every action does what its name says", async (bundle) => {
  const outcomes: Record<string, number> = {
    SCMP_ACT_ALLOW: 0,
    SCMP_ACT_LOG: 0,
    SCMP_ACT_ERRNO: EPERM,
    SCMP_ACT_TRACE: ENOSYS, // nobody traces it (seccomp(2))
    SCMP_ACT_TRAP: SIGSYS_CODE,
    SCMP_ACT_KILL: SIGSYS_CODE,
    SCMP_ACT_KILL_THREAD: SIGSYS_CODE,
    SCMP_ACT_KILL_PROCESS: SIGSYS_CODE,
  };
  const seen: Record<string, number> = {};
  for (const action in outcomes) {
    seen[action] = await called(bundle, only(action, ["personality"]), NR.personality, [0]);
  }
  assertEquals(seen, outcomes);
}, obstacles);

contained(
  "linux.seccomp: errnoRet and defaultErrnoRet are what the program hears",
  async (bundle) => {
    const rule = only("SCMP_ACT_ERRNO", ["getpid"], { errnoRet: ENOENT });
    assertEquals(await called(bundle, rule, NR.getpid), ENOENT);
    assertEquals(
      await called(bundle, only("SCMP_ACT_ERRNO", ["getpid"], { errnoRet: 0 }), NR.getpid),
      0,
    );
    const names = ["execve", "exit_group", "getpid", "mseal"];
    const profile = {
      defaultAction: "SCMP_ACT_ERRNO",
      syscalls: [{ names, action: "SCMP_ACT_ALLOW" }],
    };
    assertEquals(await called(bundle, profile, NR.getpid), 0);
    assertEquals(await called(bundle, profile, NR.personality), EPERM);
    assertEquals(await called(bundle, { ...profile, defaultErrnoRet: 77 }, NR.personality), 77);
  },
  obstacles,
);

contained("linux.seccomp: arguments are compared, all 64 bits of them", async (bundle) => {
  const when = (...args: object[]) =>
    only("SCMP_ACT_ERRNO", ["getpid"], { errnoRet: ENOENT, args });
  const wide = { index: 0, value: 0x1_0000_0002, op: "SCMP_CMP_EQ" };
  assertEquals(await called(bundle, when(wide), NR.getpid, [0x1_0000_0002n]), ENOENT);
  assertEquals(await called(bundle, when(wide), NR.getpid, [2]), 0);
  const masked = { index: 5, value: 0xff00, valueTwo: 0x1200, op: "SCMP_CMP_MASKED_EQ" };
  assertEquals(await called(bundle, when(masked), NR.getpid, [0, 0, 0, 0, 0, 0x1234]), ENOENT);
  // Two arguments: both; one argument twice: either.
  const both = when(wide, masked);
  assertEquals(await called(bundle, both, NR.getpid, [0x1_0000_0002n]), 0);
  const either = when(wide, { ...wide, value: 7 });
  assertEquals(await called(bundle, either, NR.getpid, [7]), ENOENT);
}, obstacles);

contained(
  "linux.seccomp: a call by another architecture is what the profile says of that one",
  async (bundle) => {
    const GETPID_I386 = 20;
    const profile = only("SCMP_ACT_ERRNO", ["getpid"], { errnoRet: ENOENT });
    const ask = (seccomp: object) => called(bundle, seccomp, GETPID_I386, [], "i386");
    assertEquals(
      await ask({ defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_X86"] }),
      0,
    );
    assertEquals(
      await ask({ ...profile, architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"] }),
      ENOENT,
    );
    // Not among the profile's: whoever calls by it is killed.
    assertEquals(await ask(profile), SIGSYS_CODE);
  },
  [...obstacles, await noI386()],
);

contained(
  "linux.seccomp: what is newer than all that a profile names is ENOSYS, as in runc",
  async (bundle) => {
    const names = ["execve", "exit_group", "openat2"];
    const profile = (defaultAction: string) => ({
      defaultAction,
      syscalls: [{ names, action: "SCMP_ACT_ALLOW" }],
    });
    for (const action of ["SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS"]) {
      assertEquals(await called(bundle, profile(action), NR.mseal), ENOSYS);
    }
    const older = await called(bundle, profile("SCMP_ACT_KILL_PROCESS"), NR.personality);
    assertEquals(older, SIGSYS_CODE);
    const traced = { ...profile("SCMP_ACT_ERRNO"), defaultErrnoRet: 77 };
    assertEquals(await called(bundle, traced, NR.personality), 77);
  },
  obstacles,
);

/** The call of seccomp(2) that a run has made, from its trace. */
async function seccompCall(bundle: Bundle): Promise<string> {
  bundle.write("true");
  const { world, path, id } = bundle;
  const file = `${world.dir}/trace.json`;
  await world.ok(["--trace", file, "run", "--bundle", path, id]);
  const { calls } = validateTrace(JSON.parse(Deno.readTextFileSync(file)));
  const made = calls.filter(({ name, args }) =>
    name === "seccomp" && args.call.includes("instructions")
  );
  assertEquals(made.length, 1);
  return made[0]?.args.call ?? "";
}

contained("linux.seccomp: flags are given to the kernel", async (bundle) => {
  const flags = ["TSYNC", "LOG", "SPEC_ALLOW"].map((name) => `SECCOMP_FILTER_FLAG_${name}`);
  const cases: (readonly [string[] | undefined, string])[] = [
    [flags, "SECCOMP_FILTER_FLAG_LOG|SECCOMP_FILTER_FLAG_SPEC_ALLOW"], // one thread: nothing to synchronise
    [["SECCOMP_FILTER_FLAG_LOG"], "SECCOMP_FILTER_FLAG_LOG"],
    [[], "0"],
    [undefined, "SECCOMP_FILTER_FLAG_SPEC_ALLOW"],
  ];
  for (const [given, made] of cases) {
    bundle.config.linux.seccomp = {
      defaultAction: "SCMP_ACT_ALLOW",
      ...(given === undefined ? {} : { flags: given }),
    };
    assertStringIncludes(await seccompCall(bundle), `SECCOMP_SET_MODE_FILTER, ${made}, {`);
  }
  bundle.config.linux.seccomp = {
    defaultAction: "SCMP_ACT_ALLOW",
    flags: ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],
  };
  assertStringIncludes(
    await bundle.refused(),
    "linux.seccomp.flags[0]: is for profiles with SCMP_ACT_NOTIFY",
  );
}, obstacles);

contained(
  "linux.seccomp is in force with and without noNewPrivileges, for any user, and takes no right along",
  async (bundle) => {
    bundle.config.linux.seccomp = only("SCMP_ACT_ERRNO", ["personality"]);
    const fields = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs"];
    for (const noNewPrivileges of [true, false]) {
      for (const uid of [0, 1000]) {
        Object.assign(bundle.config.process, { noNewPrivileges, user: { uid, gid: uid } });
        const filtered = await status(bundle, ...fields, "Seccomp");
        const { seccomp } = bundle.config.linux;
        delete bundle.config.linux.seccomp;
        const unfiltered = await status(bundle, ...fields, "Seccomp");
        bundle.config.linux.seccomp = seccomp;
        assertEquals([filtered.at(-1), unfiltered.at(-1)], ["2", "0"]);
        assertEquals(filtered.slice(0, -1), unfiltered.slice(0, -1), `${uid} ${noNewPrivileges}`);
      }
    }
    bundle.config.process.user = { uid: 0, gid: 0 };
    bundle.userNamespace();
    assertEquals(await status(bundle, "Seccomp", "NoNewPrivs"), ["2", "0"]);
  },
  obstacles,
);

contained("linux.seccomp of a created container is what start installs", async (bundle) => {
  bundle.config.linux.seccomp = only("SCMP_ACT_ERRNO", ["mkdir"], { errnoRet: ENOENT });
  bundle.file("result", "", 0o666);
  bundle.write("mkdir /made 2>/result; sleep 1000");
  const { world, id } = bundle;
  await world.ok(["create", "--bundle", bundle.path, id]);
  // The profile is the one of create: the bundle may be gone by now.
  bundle.config.linux.seccomp = only("SCMP_ACT_KILL", ["mkdir"]);
  bundle.write();
  await world.ok(["start", id]);
  const said = await until(
    "the program's word",
    () => Deno.readTextFileSync(`${bundle.rootfs}/result`) || undefined,
  );
  assertStringIncludes(said, "No such file or directory");
  assertEquals((await world.state(id)).status, "running");
  await world.ok(["delete", "--force", id]);
}, obstacles);

contained("linux.seccomp: hooks of the container are not filtered", async (bundle) => {
  bundle.config.linux.seccomp = only("SCMP_ACT_ERRNO", ["personality"]);
  bundle.file("hook", "#!/bin/sh\ncat /proc/self/status >/hooked\n", 0o755);
  bundle.config.hooks = { startContainer: [{ path: "/hook" }] };
  await bundle.ok("true");
  assertMatch(Deno.readTextFileSync(`${bundle.rootfs}/hooked`), /^Seccomp:\t0$/m);
}, obstacles);

contained(
  "linux.seccomp that lets no program begin is refused, and nothing is made",
  async (bundle) => {
    for (
      const profile of [only("SCMP_ACT_KILL", ["execve"]), { defaultAction: "SCMP_ACT_ERRNO" }]
    ) {
      bundle.config.linux.seccomp = profile;
      assertStringIncludes(await bundle.refused(), "linux.seccomp: must allow execve");
    }
    bundle.config.linux.seccomp = only("SCMP_ACT_ERRNO", ["execve"], {
      errnoRet: 13,
      args: [{ index: 4, value: 9, op: "SCMP_CMP_EQ" }],
    });
    assertEquals(await bundle.ok("echo begins"), "begins");
  },
  obstacles,
);

contained(
  "linux.seccomp without libseccomp is refused by name; without it nothing is looked for",
  async (bundle) => {
    bundle.config.linux.seccomp = only("SCMP_ACT_ERRNO", ["personality"]);
    bundle.write("echo runs");
    const library = await host("sh", "-c", "readlink -f /usr/lib/*/libseccomp.so.2");
    const hidden = [
      "unshare",
      "--mount",
      "sh",
      "-c",
      'mount --bind /dev/null "$0" && exec "$@"',
      library,
    ];
    const command = [
      belayPath,
      "--root",
      bundle.world.root,
      "run",
      "--bundle",
      bundle.path,
      bundle.id,
    ];
    const { code, stderr } = await bundle.world.start([...hidden, ...command]).ended;
    assertEquals(code, 1);
    assertStringIncludes(
      errorIn(stderr),
      "linux.seccomp: needs libseccomp.so.2 (Debian: libseccomp2)",
    );
    delete bundle.config.linux.seccomp;
    bundle.write("echo runs");
    assertEquals(await bundle.world.start([...hidden, ...command]).ended, {
      code: 0,
      stdout: "runs\n",
      stderr: "",
    });
  },
  obstacles,
);

contained("linux.seccomp in a trace: from the filter on, one request", async (bundle) => {
  // What a tracer would ask of a stub in between, this profile does not allow.
  const names = ["execve", "exit_group", "getpid"];
  bundle.config.linux.seccomp = {
    defaultAction: "SCMP_ACT_KILL_PROCESS",
    syscalls: [{ names, action: "SCMP_ACT_ALLOW" }],
  };
  Deno.writeFileSync(`${bundle.rootfs}/probe`, rawSyscall(NR.getpid), { mode: 0o755 });
  bundle.write(["/probe"]);
  const { world } = bundle;
  const file = `${world.dir}/trace.json`;
  await world.ok(["--trace", file, "run", "--bundle", bundle.path, bundle.id]);
  const { calls } = validateTrace(JSON.parse(Deno.readTextFileSync(file)));
  const init = calls.find(({ name }) => name === "execve")?.pid;
  assertEquals(calls.filter(({ pid }) => pid === init).slice(-2).map(({ name }) => name), [
    "seccomp",
    "execve",
  ]);
}, obstacles);

contained(
  "linux.seccomp: a filter is compiled once, and kept for the next start",
  async (bundle) => {
    bundle.config.linux.seccomp = only("SCMP_ACT_ERRNO", ["personality"]);
    bundle.write("true");
    const { world, path, id } = bundle;
    // A cache of the test's own, in a mount namespace.
    const script = "mkdir -p -m 700 /run/belay-seccomp && " +
      "mount -t tmpfs -o mode=700 none /run/belay-seccomp && for i in 1 2; do " +
      '"$0" --root "$1" --trace "$2/trace-$i" run --bundle "$3" "$4" || exit; done; ls -l /run/belay-seccomp';
    const command = ["unshare", "--mount", "sh", "-c", script, belayPath];
    const { code, stdout, stderr } = await world.start([
      ...command,
      world.root,
      world.dir,
      path,
      id,
    ])
      .ended;
    assertEquals([code, stderr], [0, ""]);
    assertMatch(stdout, /^total \d+\n-rw------- 1 root root +\d+ .* [0-9a-f]{16}\n$/);
    const names = (i: number) => {
      const { calls } = validateTrace(JSON.parse(Deno.readTextFileSync(`${world.dir}/trace-${i}`)));
      return calls.map(({ args }) => args.call)
        .filter((call) => /^linkat|^memfd_create\("belay-seccomp"/.test(call))
        .map((call) => call.split("(")[0]);
    };
    assertEquals([names(1), names(2)], [["memfd_create", "linkat"], []]);
  },
  obstacles,
);

/** Whether this kernel serves int 0x80. */
async function noI386(): Promise<string | undefined> {
  if (notX86() !== undefined) return notX86();
  const file = await Deno.makeTempFile({ prefix: "belay-i386-" });
  try {
    await Deno.writeFile(file, rawSyscall(20, [], "i386"));
    await Deno.chmod(file, 0o755);
    const { code } = await new Deno.Command(file).output();
    return code === 0 ? undefined : "this kernel does not serve 32-bit calls";
  } finally {
    await Deno.remove(file);
  }
}
