// What a process that exec adds has of the container's: its filter, its scheduling, its labels.
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { noFile } from "../skip.ts";
import { type Bundle, contained, errorIn } from "./contained.ts";
import { notX86, NR, rawSyscall } from "./raw_syscall.ts";
import { Agent } from "./seccomp_listener.ts";
import { noLibseccomp, only } from "./seccomp_world.ts";

/** `exec` of what must end well; what it printed. */
async function execOk(
  bundle: Bundle,
  args: readonly string[],
  ...flags: string[]
): Promise<string> {
  const { stdout } = await bundle.world.ok(["exec", ...flags, bundle.id, ...args]);
  return stdout.trimEnd();
}

/** `exec` of a process that a file describes. */
async function execFile(bundle: Bundle, process: object): Promise<{ code: number; text: string }> {
  const file = `${bundle.world.dir}/process.json`;
  Deno.writeTextFileSync(file, JSON.stringify({ cwd: "/", env: ["PATH=/bin"], ...process }));
  const { code, stdout, stderr } = await bundle.world.belay(["exec", "--process", file, bundle.id]);
  return { code, text: stdout.trimEnd() + errorIn(stderr) };
}

contained(
  "exec: the container's filter is in force, with and without noNewPrivileges",
  async (bundle) => {
    bundle.config.process.noNewPrivileges = false;
    bundle.config.linux.seccomp = only("SCMP_ACT_ERRNO", ["mkdir"], { errnoRet: 2 });
    await using _container = await bundle.detached(["sleep", "1000"]);
    const script =
      "mkdir /made 2>&1; grep -E '^(Seccomp|NoNewPrivs|CapPrm|CapEff)' /proc/self/status";
    const plain = await execOk(bundle, ["sh", "-c", script]);
    assertMatch(plain, /No such file or directory\n/);
    assertMatch(plain, /NoNewPrivs:\t0\nSeccomp:\t2\nSeccomp_filters:\t1$/);
    const status = Deno.readTextFileSync(
      `/proc/${(await bundle.world.state(bundle.id)).pid}/status`,
    );
    for (const field of ["CapPrm", "CapEff"]) {
      const line = new RegExp(`^${field}:.*$`, "m");
      assertEquals(line.exec(plain)?.[0], line.exec(status)?.[0]); // CAP_SYS_ADMIN has not come along
    }
    const strict = await execOk(bundle, ["sh", "-c", script], "--no-new-privs");
    assertMatch(strict, /No such file or directory\n/);
    assertMatch(strict, /NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1$/);
  },
  noLibseccomp(),
);

contained(
  "exec: each process has a listener of its own, told of as the specification says",
  async (bundle) => {
    using agent = new Agent(bundle.world);
    bundle.config.linux.seccomp = {
      ...only("SCMP_ACT_NOTIFY", ["getpid"]),
      listenerPath: agent.path,
    };
    Deno.writeFileSync(`${bundle.rootfs}/probe`, rawSyscall(NR.getpid), { mode: 0o755 });
    bundle.write(["sleep", "1000"]);
    const { world, id } = bundle;
    const started = world.spawn(["run", "--detach", "--bundle", bundle.path, id]);
    const first = await agent.take();
    using _first = first.listener;
    assertEquals((await started.ended).code, 0);
    const running = world.spawn(["exec", id, "/probe"]);
    const { listener, state } = await agent.take();
    using _listener = listener;
    const asked = await listener.next();
    assertEquals([state.pid, state.fds, state.state.status, state.state.pid], [
      asked.pid,
      ["seccompFd"],
      "running",
      first.state.pid,
    ]);
    listener.answer(asked, { error: 66 });
    assertEquals((await running.ended).code, 66);
    await listener.ended();
    await world.ok(["delete", "--force", id]);
  },
  [noLibseccomp(), notX86()],
);

contained("exec: scheduling is the container's, or what a file says", async (bundle) => {
  bundle.config.process.scheduler = { policy: "SCHED_BATCH", nice: 3 };
  bundle.config.process.ioPriority = { class: "IOPRIO_CLASS_BE", priority: 6 };
  await using _container = await bundle.detached(["sleep", "1000"]);
  const ask = "cut -d ' ' -f 19 /proc/self/stat; ionice";
  assertEquals(await execOk(bundle, ["sh", "-c", ask]), "3\nbest-effort: prio 6");
  const args = ["sh", "-c", ask];
  const idle = { class: "IOPRIO_CLASS_IDLE" };
  const other = await execFile(bundle, {
    args,
    scheduler: { policy: "SCHED_OTHER", nice: 9 },
    ioPriority: idle,
  });
  assertMatch(other.text, /^9\nidle/);
  const wrong = await execFile(bundle, { args, scheduler: { policy: "SCHED_ISO" } });
  assertEquals(wrong.code, 255);
  assertStringIncludes(wrong.text, "process.scheduler: SCHED_ISO cannot be had");
});

contained(
  "exec: execCPUAffinity is the added process's, and not the first one's",
  async (bundle) => {
    const allowed = "grep Cpus_allowed_list /proc/self/status | cut -f 2";
    const all = await bundle.ok(allowed);
    bundle.config.process.execCPUAffinity = { initial: "0", final: "0" };
    bundle.file("first", "", 0o666);
    await using _container = await bundle.detached(`${allowed} >/first; sleep 1000`);
    assertEquals(await execOk(bundle, ["sh", "-c", allowed]), "0");
    const args = ["sh", "-c", allowed];
    assertEquals((await execFile(bundle, { args })).text, all); // a file says it all
    assertEquals((await execFile(bundle, { args, execCPUAffinity: { final: "0" } })).text, "0");
    const gone = await execFile(bundle, { args, execCPUAffinity: { final: "8000" } });
    assertEquals(gone.code, 255);
    assertStringIncludes(gone.text, "process.execCPUAffinity.final: 8000 cannot be had");
    assertEquals(Deno.readTextFileSync(`${bundle.rootfs}/first`).trimEnd(), all);
  },
);

const module = noFile("/sys/module/apparmor") === undefined ||
  noFile("/sys/fs/selinux/enforce") === undefined;

contained(
  "exec: --apparmor and --process-label are refused by name where the kernel has neither",
  async (bundle) => {
    await using _container = await bundle.detached(["sleep", "1000"]);
    const cases = {
      "--apparmor": "process.apparmorProfile: this kernel does not use AppArmor",
      "--process-label": "process.selinuxLabel: this kernel does not use SELinux",
    };
    for (const [flag, message] of Object.entries(cases)) {
      const { code, stderr } = await bundle.world.belay(["exec", flag, "some", bundle.id, "true"]);
      assertEquals(code, 255);
      assertStringIncludes(errorIn(stderr), message);
    }
  },
  module ? "this kernel has one of them" : undefined,
);
