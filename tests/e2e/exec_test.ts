// belay exec: a program more in a container, as runc's.
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { isThere } from "../../scripts/is_there.ts";
import { Host } from "../../ffi/host.ts";
import { Pidfd } from "../../ffi/pidfd.ts";
import { noFile } from "../skip.ts";
import { descendants } from "./census.ts";
import { type AnySpec, e2e, until, type World } from "./world.ts";

const { thread } = new Host("/tmp");

/** A container that runs until it is deleted. */
async function running(
  world: World,
  config: (spec: AnySpec) => void = () => {},
  files?: Record<string, string>,
): Promise<string> {
  const id = world.id();
  const bundle = await world.bundle({
    args: ["sleep", "1000"],
    config,
    ...(files === undefined ? {} : { files }),
  });
  await world.ok(["run", "--detach", "--bundle", bundle, id]);
  return id;
}

async function done(world: World, id: string): Promise<void> {
  await world.ok(["delete", "--force", id]);
}

/** What a refused exec says. */
async function refusal(world: World, args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await world.belay(["exec", ...args]);
  assertEquals({ code, stdout }, { code: 255, stdout: "" }, stderr);
  return stderr;
}

e2e("exec runs a program in all namespaces and cgroups of the container", async (world) => {
  const id = await running(world, (spec) => spec.linux.namespaces.push({ type: "cgroup" }));
  const script = "readlink /proc/1/ns/* /proc/1/root; cat /proc/1/cgroup; hostname";
  const own = script.replaceAll("/proc/1", "/proc/self");
  const [first, added] = [
    await world.ok(["exec", id, "sh", "-c", script]),
    await world.ok(["exec", id, "sh", "-c", own]),
  ];
  assertEquals(added.stdout, first.stdout);
  const { pid } = await world.state(id);
  const outside = Deno.readTextFileSync(`/proc/${pid}/cgroup`);
  const child = world.spawn(["exec", "--pid-file", `${world.dir}/pid`, id, "sleep", "1000"]);
  await until("it has a pid", () => isWritten(`${world.dir}/pid`));
  const other = Deno.readTextFileSync(`${world.dir}/pid`);
  assertEquals(Deno.readTextFileSync(`/proc/${other}/cgroup`), outside);
  await done(world, id);
  assertEquals((await child.ended).code, 137);
});

e2e("exec --cgroup puts the program below the container's cgroups", async (world) => {
  const id = await running(world);
  const { pid } = await world.state(id);
  const lines = Deno.readTextFileSync(`/proc/${pid}/cgroup`).trim().split("\n");
  const memory = lines.find((line) => line.split(":")[1] === "memory")?.split(":")[2];
  const where = async (...flags: string[]) => {
    const { stdout } = await world.ok(["exec", ...flags, id, "cat", "/proc/self/cgroup"]);
    return stdout.trim().split("\n");
  };
  assertEquals(await where("--cgroup", "/"), lines);
  assertStringIncludes(
    await refusal(world, ["--cgroup", "../x", id, "true"]),
    "is not a sub cgroup path",
  );
  assertStringIncludes(
    await refusal(world, ["--cgroup", "nosuch", id, "true"]),
    "/nosuch",
  );
  if (memory === undefined) {
    // cgroup2 alone: machine_test.ts looks there.
    assertStringIncludes(
      await refusal(world, ["--cgroup", "memory:a", id, "true"]),
      "on cgroup v2",
    );
  } else {
    Deno.mkdirSync(`/sys/fs/cgroup/memory${memory}/below`);
    const expected = lines.map((line) => line.includes(":memory:") ? `${line}/below` : line);
    assertEquals(await where("--cgroup", "memory:below"), expected);
    // It is not there in the others.
    assertStringIncludes(
      await refusal(world, ["--cgroup", "below", id, "true"]),
      "/below: ",
    );
  }
  const child = world.spawn([
    "exec",
    ...memory ? ["--cgroup", "memory:/below"] : [],
    id,
    "sleep",
    "1000",
  ]);
  await until(
    "it runs",
    async () => (await world.ok(["ps", "-f", "json", id])).stdout.includes(","),
  );
  await done(world, id); // takes what is below with it
  assertEquals((await child.ended).code, 137);
});

/** Whether a file has been written; a pid file comes whole. */
function isWritten(path: string): boolean {
  return isThere(path) && Deno.statSync(path).size > 0;
}

e2e("exec has the exit code of its program, and 128+n for a signal", async (world) => {
  const id = await running(world);
  const code = async (script: string) => (await world.belay(["exec", id, "sh", "-c", script])).code;
  assertEquals(await code("exit 7"), 7);
  assertEquals(await code("kill -9 $$"), 137);
  assertEquals(await code("exit 0"), 0);
  await done(world, id);
});

e2e("exec joins its input and output with the program's", async (world) => {
  const id = await running(world);
  const { stdout, stderr } = await world.ok(["exec", id, "sh", "-c", "cat; echo no >&2"], {
    stdin: "yes\n",
  });
  assertEquals({ stdout, stderr }, { stdout: "yes\n", stderr: "no\n" });
  await done(world, id);
});

e2e("exec tells in runc's words why a program cannot be executed", async (world) => {
  const id = await running(world, () => {}, { "etc/data": "" });
  Deno.chmodSync(`${world.dir}/bundle-1/rootfs/etc/data`, 0o644);
  const start = "unable to start container process: exec: ";
  assertStringIncludes(
    await refusal(world, [id, "nosuch"]),
    `${start}\\"nosuch\\": executable file not found in $PATH`,
  );
  assertStringIncludes(
    await refusal(world, [id, "/etc/data"]),
    `${start}\\"/etc/data\\": permission denied`,
  );
  assertStringIncludes(
    await refusal(world, [id, "/nosuch"]),
    `${start}\\"/nosuch\\": stat /nosuch: no such file or directory`,
  );
  assertStringIncludes(await refusal(world, [id, "/bin"]), `${start}\\"/bin\\": `);
  assertStringIncludes(await refusal(world, [id]), "process args cannot be empty");
  assertStringIncludes(
    await refusal(world, ["--cwd", "bin", id, "true"]),
    "Cwd must be an absolute path",
  );
  assertStringIncludes(
    await refusal(world, ["--cwd", "/nosuch", id, "true"]),
    "no such file or directory",
  );
  assertStringIncludes(
    await refusal(world, ["--env", "B", id, "true"]),
    `invalid environment variable: \\"B\\"`,
  );
  assertStringIncludes(await refusal(world, ["--user", "root", id, "true"]), "--user");
  await done(world, id);
});

e2e("exec refuses a container that is not there or has stopped", async (world) => {
  assertStringIncludes(
    await refusal(world, [world.id(), "true"]),
    "container does not exist",
  );
  const id = await running(world);
  await world.ok(["kill", id, "KILL"]);
  await until("it stops", async () => (await world.state(id)).status === "stopped");
  assertStringIncludes(
    await refusal(world, [id, "true"]),
    "cannot exec in a stopped container",
  );
  await world.ok(["delete", id]);
});

e2e("exec works in a created container", async (world) => {
  const id = world.id();
  await world.ok(["create", "--bundle", await world.bundle(), id]);
  assertEquals((await world.ok(["exec", id, "echo", "hi"])).stdout, "hi\n");
  assertEquals((await world.state(id)).status, "created");
  await world.ok(["start", id]);
  await done(world, id);
});

e2e("exec changes user, groups, environment, directory and capabilities", async (world) => {
  const id = await running(world);
  const flags = ["-u", "5:6", "-g", "7", "-g", "8", "-e", "A=1", "-e", "B=2", "--cwd", "/tmp"];
  const { stdout } = await world.ok([
    ...["exec", ...flags, "-c", "CAP_NET_RAW", "--no-new-privs", id],
    ...["sh", "-c", "id; pwd; echo $A $B; grep -E 'CapBnd|NoNewPrivs' /proc/self/status"],
  ]);
  assertEquals(
    stdout,
    "uid=5 gid=6 groups=7,8\n/tmp\n1 2\nCapBnd:\t0000000020002420\nNoNewPrivs:\t1\n",
  );
  const root = await world.ok([
    "exec",
    "-c",
    "CAP_NET_RAW",
    id,
    "grep",
    "Cap",
    "/proc/self/status",
  ]);
  assertMatch(root.stdout, /CapPrm:\t0000000020002420\nCapEff:\t0000000020002420/);
  const odd = await world.ok(["exec", "--cap", "CAP_NOPE", id, "true"]);
  assertStringIncludes(odd.stderr, "unknown capability");
  await done(world, id);
});

e2e("exec --env takes the place of the container's own variable", async (world) => {
  const id = await running(world, (spec) => spec.process.env = ["PATH=/bin", "A=container"]);
  const flags = ["--env", "A=first", "--env", "B=b", "--env", "A=exec"];
  const { stdout } = await world.ok(["exec", ...flags, id, "/bin/cat", "/proc/self/environ"]);
  assertEquals(stdout.split("\0").slice(0, -1), ["PATH=/bin", "A=exec", "B=b", "HOME=/root"]);
  await done(world, id);
});

e2e(
  "exec --process takes what a file says, and from the container what it does not",
  async (world) => {
    const id = await running(world, (spec) => {
      spec.process.rlimits = [{ type: "RLIMIT_NOFILE", soft: 100, hard: 200 }];
    });
    const file = `${world.dir}/process.json`;
    const script = "id; echo $A; pwd; ulimit -n; grep CapEff /proc/self/status";
    const process: AnySpec = { args: ["sh", "-c", script], cwd: "/tmp", env: ["PATH=/bin", "A=x"] };
    const run = async (change: object) => {
      Deno.writeTextFileSync(file, JSON.stringify({ ...process, ...change }));
      return (await world.ok(["exec", "--process", file, id])).stdout;
    };
    assertEquals(
      await run({}),
      "uid=0(root) gid=0(root)\nx\n/tmp\n100\nCapEff:\t0000000020000420\n",
    );
    assertEquals(
      await run({
        user: { uid: 3, gid: 4 },
        capabilities: {},
        rlimits: [{ type: "RLIMIT_NOFILE", soft: 50, hard: 60 }],
      }),
      "uid=3 gid=4\nx\n/tmp\n50\nCapEff:\t0000000000000000\n",
    );
    Deno.writeTextFileSync(file, `{"args": ["true"], "cwd": "tmp"}`);
    assertStringIncludes(await refusal(world, ["--process", file, id]), "process.cwd: must be an");
    Deno.writeTextFileSync(file, `{"args": ["true"`);
    assertStringIncludes(await refusal(world, ["--process", file, id]), "process: is not JSON");
    assertStringIncludes(
      await refusal(world, ["--process", `${world.dir}/none`, id]),
      "no such file or directory",
    );
    await done(world, id);
  },
);

e2e("exec --detach leaves a child of its caller's, and no helper", async (world) => {
  const id = await running(world);
  const pidFile = `${world.dir}/pid`;
  await world.ok(["exec", "--detach", "--pid-file", pidFile, id, "sleep", "1000"]);
  const pid = Deno.readTextFileSync(pidFile);
  assertEquals(Deno.readTextFileSync(`/proc/${pid}/cmdline`), "sleep\x001000\x00");
  // This process is the subreaper of all that a test starts.
  assertMatch(
    Deno.readTextFileSync(`/proc/${pid}/status`),
    new RegExp(`^PPid:\\t${Deno.pid}$`, "m"),
  );
  // The container's first process cannot end before this one reaps the other: delete does not wait for that.
  await done(world, id);
  using added = Pidfd.open(thread, Number(pid));
  assertEquals(added.reap().signal, 9);
});

e2e("run --detach leaves the container's process to its caller, and no helper", async (world) => {
  const id = await running(world);
  const left = descendants().filter(({ state }) => state !== "Z");
  assertEquals(left.map(({ name, parent }) => ({ name, parent })), [
    { name: "sleep", parent: Deno.pid },
  ]);
  assertEquals((await world.state(id)).pid, left[0]?.pid);
  await done(world, id);
});

e2e("exec passes signals on, also one that comes with the program's first word", async (world) => {
  const id = await running(world);
  const script = "trap 'echo told; exit 9' TERM; echo ready; while :; do sleep 0.01; done";
  for (let round = 0; round < 5; round++) {
    const exec = world.spawn(["exec", id, "sh", "-c", script]);
    await until("it speaks", () => exec.stdout().includes("ready"));
    exec.signal("SIGTERM");
    const { code, stdout } = await exec.ended;
    assertEquals({ code, stdout }, { code: 9, stdout: "ready\ntold\n" });
  }
  await done(world, id);
});

e2e("exec ends as its program does of a real-time signal that exec was sent", async (world) => {
  const id = await running(world);
  const exec = world.spawn(["exec", id, "sh", "-c", "echo ready; exec sleep 1000"]);
  await until("it speaks", () => exec.stdout().includes("ready"));
  await new Deno.Command("kill", { args: ["-37", String(exec.pid)] }).output();
  assertEquals((await exec.ended).code, 128 + 37);
  await done(world, id);
});

e2e("exec in a paused container is refused, or begins with its resumption", async (world) => {
  const id = await running(world);
  await world.ok(["pause", id]);
  assertStringIncludes(
    await refusal(world, [id, "true"]),
    "cannot exec in a paused container (use --ignore-paused to override)",
  );
  const exec = world.spawn(["exec", "--ignore-paused", id, "echo", "thawed"]);
  await world.ok(["state", id]); // something that takes its time
  assertEquals(exec.stdout(), "");
  await world.ok(["resume", id]);
  const { code, stdout } = await exec.ended;
  assertEquals({ code, stdout }, { code: 0, stdout: "thawed\n" });
  await done(world, id);
}, noFile("/sys/fs/cgroup/freezer/cgroup.procs"));

e2e("exec joins a user namespace, as its root", async (world) => {
  const ids = [{ containerID: 0, hostID: 100000, size: 65536 }];
  const id = await running(world, (spec) => {
    spec.linux.namespaces.push({ type: "user" }, { type: "cgroup" });
    Object.assign(spec.linux, { uidMappings: ids, gidMappings: ids });
  });
  const { stdout } = await world.ok(["exec", id, "sh", "-c", "id; cat /proc/self/uid_map"]);
  assertMatch(stdout, /^uid=0\(root\) gid=0\(root\)\n\s+0\s+100000\s+65536\n$/);
  for (
    const [flags, field] of [
      [["--user", "70000"], "process.user.uid: 70000"],
      [["--user", "1:70001"], "process.user.gid: 70001"],
      [["--additional-gids", "70002"], "process.user.additionalGids: one of 70002"],
    ] as const
  ) {
    assertStringIncludes(
      await refusal(world, [...flags, id, "true"]),
      `${field} is not mapped in the container's user namespace`,
    );
  }
  await done(world, id);
});

e2e("exec installs the container's system call filter", async (world) => {
  const id = await running(world, (spec) => {
    spec.linux.seccomp = {
      defaultAction: "SCMP_ACT_ALLOW",
      syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 42 }],
    };
  });
  const { code, stdout } = await world.belay([
    ...["exec", id, "sh", "-c", "grep Seccomp: /proc/self/status; mkdir /tmp/x"],
  ]);
  assert(code !== 0);
  assertEquals(stdout, "Seccomp:\t2\n");
  await done(world, id);
});

e2e("exec passes descriptors on when asked, and no others", async (world) => {
  const id = await running(world);
  const script = world.script(
    `exec 3<<<three 4<<<four; belay exec "$@" sh -c 'echo /proc/self/fd/*; cat <&3'`,
    ["--preserve-fds", "1", id],
  );
  const { code, stdout } = await script.ended;
  assertEquals({ code, stdout }, {
    code: 0,
    stdout: `${[0, 1, 2, 3, 4].map((fd) => `/proc/self/fd/${fd}`).join(" ")}\nthree\n`,
  });
  await done(world, id);
});
