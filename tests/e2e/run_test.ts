// belay run: what the program gets, and what comes of it.
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { noProgram } from "../skip.ts";
import { errorIn } from "./contained.ts";
import { e2e, inHostPids, until, type World } from "./world.ts";

const ENDS: readonly (readonly [string, number])[] = [
  ["exit 0", 0],
  ["exit 1", 1],
  ["exit 7", 7],
  ["exit 255", 255],
  ["exec /bin/false", 1],
];

e2e("run exits with the program's exit code, and leaves nothing", async (world) => {
  for (const [script, expected] of ENDS) {
    const bundle = await world.bundle({ args: ["sh", "-c", script] });
    const id = world.id();
    assertEquals(await world.belay(["run", "--bundle", bundle, id]), {
      code: expected,
      stdout: "",
      stderr: "",
    });
    assertEquals((await world.belay(["state", id])).code, 1);
  }
});

e2e("run exits with 128+n when signal n ended the program", async (world) => {
  // The first process of a pid namespace would be spared all but SIGKILL.
  const config = inHostPids;
  for (
    const [signal, expected] of [["KILL", 137], ["ABRT", 134], ["15", 143], ["64", 192]] as const
  ) {
    const id = world.id();
    const bundle = await world.bundle({ args: ["sleep", "1000"], config });
    const run = world.spawn(["run", "--bundle", bundle, id]);
    await until("it runs", async () => (await statusOf(world, id)) === "running");
    await world.ok(["kill", id, signal]);
    assertEquals((await run.ended).code, expected);
  }
});

async function statusOf(world: World, id: string): Promise<string | undefined> {
  const { code, stdout } = await world.belay(["state", id]);
  return code === 0 ? JSON.parse(stdout).status : undefined;
}

e2e("run --detach returns when the program runs, and does not wait for it", async (world) => {
  const id = world.id();
  const bundle = await world.bundle({
    args: ["sh", "-c", "echo out; echo err >&2; exec sleep 1000"],
  });
  const run = world.spawn(["run", "--detach", "--bundle", bundle, id]);
  assertEquals((await run.ended).code, 0);
  assertEquals((await world.state(id)).status, "running");
  await until("it prints", () => run.stdout() === "out\n" && run.stderr() === "err\n");
  await world.ok(["delete", "--force", id]);
});

e2e("run --detach of a program that ends at once leaves a stopped container", async (world) => {
  const id = world.id();
  await world.ok(["run", "-d", "--bundle", await world.bundle({ args: ["false"] }), id]);
  await until("it stops", async () => (await world.state(id)).status === "stopped");
  await world.ok(["delete", id]);
});

e2e("run --keep leaves a stopped container for delete", async (world) => {
  const id = world.id();
  const bundle = await world.bundle({ args: ["sh", "-c", "exit 5"] });
  assertEquals((await world.belay(["run", "--keep", "--bundle", bundle, id])).code, 5);
  const { status, pid } = await world.state(id);
  assertEquals([status, pid], ["stopped", 0]);
  await world.ok(["delete", id]);
});

e2e("run hands signals on to the program", async (world) => {
  const names = ["HUP", "INT", "QUIT", "USR1", "USR2", "WINCH", "ALRM", "CONT", "TERM"] as const;
  const script = names.map((name) => `trap 'echo ${name}' ${name}`).join("; ") +
    "; echo ready; while [ ! -e /tmp/end ]; do sleep 0.05; done";
  const bundle = await world.bundle({ args: ["sh", "-c", script], writable: true });
  const run = world.spawn(["run", "--bundle", bundle, world.id()]);
  let expected = "ready\n";
  await until("it is ready", () => run.stdout() === expected);
  // Belay listens a moment after the program has started.
  const numbers = [1, 2, 3, 10, 12, 28, 14, 18, 15];
  await until("belay listens", () => numbers.every((signal) => caught(run.pid, signal)));
  for (const name of names) {
    run.signal(`SIG${name}`);
    expected += `${name}\n`;
    await until(`${name} arrives`, () => run.stdout() === expected);
  }
  Deno.writeTextFileSync(`${bundle}/rootfs/tmp/end`, "");
  assertEquals((await run.ended).code, 0);
});

e2e("run hands real-time signals on, each as often as it came", async (world) => {
  // The number in a container's words and in this kernel's is the same; SIGRTMIN is the library's.
  const script = "trap 'echo 37' 37; trap 'echo 64' 64; echo ready; " +
    "while [ ! -e /tmp/end ]; do sleep 0.05; done";
  const bundle = await world.bundle({ args: ["sh", "-c", script], writable: true });
  const run = world.spawn(["run", "--bundle", bundle, world.id()]);
  await until("it is ready", () => run.stdout() === "ready\n");
  for (let signal = 34; signal <= 64; signal++) assert(caught(run.pid, signal), `signal ${signal}`);
  assert(!caught(run.pid, 23), "SIGURG is the runtime's own business, as with runc");
  for (const signal of ["37", "64"]) {
    await new Deno.Command("kill", { args: [`-${signal}`, String(run.pid)] }).output();
    await until(`${signal} arrives`, () => run.stdout().endsWith(`${signal}\n`));
  }
  Deno.writeTextFileSync(`${bundle}/rootfs/tmp/end`, "");
  assertEquals((await run.ended).code, 0);
});

/** Whether a process has a handler for a signal (proc_pid_status(5), SigCgt). */
function caught(pid: number, signal: number): boolean {
  const status = Deno.readTextFileSync(`/proc/${pid}/status`);
  const mask = BigInt(`0x${/^SigCgt:\s*(\S+)$/m.exec(status)?.[1] ?? "0"}`);
  return (mask >> BigInt(signal - 1) & 1n) === 1n;
}

e2e("run ended by SIGKILL leaves the container running, for delete --force", async (world) => {
  const id = world.id();
  const run = world.spawn(["run", "--bundle", await world.bundle({ args: ["sleep", "1000"] }), id]);
  await until("it runs", async () => (await statusOf(world, id)) === "running");
  run.signal("SIGKILL");
  assertEquals((await run.ended).code, 137);
  assertEquals((await world.state(id)).status, "running");
  await world.ok(["delete", "--force", id]);
});

e2e("delete --force while run waits: run ends with 137, without complaint", async (world) => {
  const id = world.id();
  const run = world.spawn(["run", "--bundle", await world.bundle({ args: ["sleep", "1000"] }), id]);
  await until("it runs", async () => (await statusOf(world, id)) === "running");
  await world.ok(["delete", "--force", id]);
  const { code, stderr } = await run.ended;
  assertEquals([code, stderr], [137, ""]);
});

e2e("the program has belay's own standard descriptors: files", async (world) => {
  const bundle = await world.bundle({ args: ["sh", "-c", "cat; echo err >&2"] });
  const { stdout, stderr } = await world.ok(["run", "--bundle", bundle, world.id()], {
    stdin: "typed",
  });
  assertEquals([stdout, stderr], ["typed", "err\n"]);
});

e2e("the program has belay's own standard descriptors: pipes", async (world) => {
  const bundle = await world.bundle({
    args: ["sh", "-c", "tr a-z A-Z; readlink /proc/self/fd/1; echo err >&2"],
  });
  const script = 'echo through a pipe | belay run --bundle "$1" "$2" 2>&1 | cat';
  const { stdout } = await world.script(script, [bundle, world.id()]).ended;
  assert(/^THROUGH A PIPE\npipe:\[\d+\]\nerr\n$/.test(stdout), stdout);
});

e2e("100 kB through a pipe arrive whole", async (world) => {
  const bundle = await world.bundle({ args: ["sh", "-c", "cat | cat"] });
  const script = 'head -c 100000 /dev/zero | belay run --bundle "$1" "$2" | wc -c';
  assertEquals((await world.script(script, [bundle, world.id()]).ended).stdout.trim(), "100000");
});

e2e("run ends when its program does, whoever keeps its input open", async (world) => {
  const fifo = `${world.dir}/fifo`;
  const script =
    `mkfifo ${fifo}; exec 8<>${fifo}; belay run --bundle "$1" "$2" <&8; echo "code $?"`;
  const { stdout } = await world.script(script, [await world.bundle(), world.id()]).ended;
  assertEquals(stdout, "code 0\n");
});

e2e("/dev/null on the host is /dev/null in the container", async (world) => {
  const bundle = await world.bundle({
    args: ["sh", "-c", "ls -l /proc/1/fd | tail -n +2 >/tmp/x; cat /tmp/x"],
    writable: true,
  });
  const script = 'belay run --bundle "$1" "$2" </dev/null 2>/dev/null';
  const { stdout } = await world.script(script, [bundle, world.id()]).ended;
  assertStringIncludes(stdout, "0 -> /dev/null");
  assertStringIncludes(stdout, "2 -> /dev/null");
});

e2e("closed standard descriptors stay no way to anything else", async (world) => {
  const bundle = await world.bundle({
    args: ["sh", "-c", "ls -l /proc/self/fd >/tmp/fds"],
    writable: true,
  });
  const script = 'belay run --bundle "$1" "$2" <&- >&- 2>&-';
  const { code } = await world.script(script, [bundle, world.id()]).ended;
  assertEquals(code, 0);
  const links = Deno.readTextFileSync(`${bundle}/rootfs/tmp/fds`).trim().split("\n").slice(1)
    .map((line) => line.replace(/^.*? (\d+ -> .*)$/, "$1"));
  // ls's own look at the directory is one; 0 and 2, if there at all, lead nowhere.
  for (const link of links.filter((each) => each.includes("->"))) {
    assert(/^\d+ -> (\/dev\/null|\/tmp\/fds|\/proc\/\d+\/fd)$/.test(link), link);
  }
});

e2e(
  "belay works with an empty environment, and gives the program config.json's alone",
  async (world) => {
    const bundle = await world.bundle({
      args: ["/bin/env"],
      config: (spec) => spec.process.env = ["A=1"],
    });
    const { code, stdout, stderr } = await world.belay(["run", "--bundle", bundle, world.id()], {
      clearEnv: true,
    });
    assertEquals([code, stderr], [0, ""]);
    assertEquals(stdout.trim().split("\n").sort(), ["A=1", "HOME=/root"]);
    const id = world.id();
    for (
      const args of [["create", "--bundle", bundle, id], ["start", id], ["delete", "--force", id]]
    ) {
      assertEquals((await world.belay(args, { clearEnv: true })).code, 0);
    }
  },
);

e2e(
  "--bundle may be relative, a symbolic link, or left out; the state has its real path",
  async (world) => {
    const bundle = await world.bundle();
    Deno.symlinkSync(bundle, `${world.dir}/link`);
    const name = bundle.slice(world.dir.length + 1);
    for (
      const [given, cwd] of [[name, world.dir], [`./${name}/`, world.dir], ["link", world.dir], [
        undefined,
        bundle,
      ]] as const
    ) {
      const id = world.id();
      await world.ok(["create", ...(given === undefined ? [] : ["--bundle", given]), id], { cwd });
      assertEquals((await world.state(id)).bundle, bundle);
      await world.ok(["delete", id], { cwd: "/" });
    }
  },
);

e2e("belay works from /", async (world) => {
  await world.ok(["run", "--bundle", await world.bundle(), world.id()], { cwd: "/" });
});

e2e("--root may be longer than a socket's path, relative, and missing", async (world) => {
  const bundle = await world.bundle();
  const long = `${world.dir}/${"long-".repeat(30)}/${"longer-".repeat(20)}`;
  for (const root of [long, "relative/root"]) {
    const id = world.id();
    const options = { root, cwd: world.dir };
    await world.ok(["create", "--bundle", bundle, id], options);
    await world.ok(["start", id], options);
    await world.ok(["delete", "--force", id], options);
  }
});

e2e("a state root that is a file is an error, and the file stays", async (world) => {
  const root = `${world.dir}/file`;
  Deno.writeTextFileSync(root, "mine");
  const id = world.id();
  for (const args of [["create", "--bundle", await world.bundle(), id], ["state", id], ["list"]]) {
    assertEquals((await world.belay(args, { root })).code, 1);
  }
  assertEquals(Deno.readTextFileSync(root), "mine");
});

e2e("--log gets the error as JSON, and stderr has it, too", async (world) => {
  const log = `${world.dir}/log.json`;
  const bundle = await world.bundle({ args: ["nothing-of-that-name"] });
  const args = ["--log", log, "--log-format", "json", "create", "--bundle", bundle, world.id()];
  const { code, stderr } = await world.belay(args);
  assertEquals(code, 1);
  const lines = Deno.readTextFileSync(log).trimEnd().split("\n").map((line) => JSON.parse(line));
  assertEquals(lines.map(({ level }) => level), ["error"]);
  assertStringIncludes(lines[0].msg, "executable file not found in $PATH");
  assertStringIncludes(stderr, lines[0].msg);
});

e2e("--debug tells more, and nothing of it where the program prints", async (world) => {
  const bundle = await world.bundle({ args: ["echo", "hi"] });
  const { stdout } = await world.ok(["--debug", "run", "--bundle", bundle, world.id()]);
  assertEquals(stdout, "hi\n");
});

/** What cannot be executed: how config.json and the image look, and what every client reads in the error. */
const BROKEN: readonly {
  readonly what: string;
  readonly args: readonly string[];
  readonly files?: Record<string, string | Uint8Array>;
  readonly text: RegExp;
  /** Found only by execve itself, and so by start. */
  readonly atStart?: boolean;
}[] = [
  {
    what: "a name that is not on PATH",
    args: ["nothing-there"],
    text: /exec: "nothing-there": executable file not found in \$PATH/,
  },
  {
    what: "a path that does not exist",
    args: ["/bin/nothing"],
    text: /exec: "\/bin\/nothing": stat \/bin\/nothing: no such file or directory/,
  },
  {
    what: "a file that is not executable",
    args: ["/plain"],
    files: { plain: "x" },
    text: /exec: "\/plain": permission denied/,
  },
  {
    what: "a directory",
    args: ["/bin"],
    text: /exec: "\/bin": is a directory: permission denied/,
  },
  {
    what: "a file of no known format",
    args: ["/garbage"],
    files: { garbage: new Uint8Array([1, 2, 3]) },
    text: /exec \/?"?\/garbage"?: exec format error|"\/garbage": exec format error/,
    atStart: true,
  },
  {
    what: "a script whose interpreter is missing",
    args: ["/script"],
    files: { script: "#!/no/such\n" },
    text: /\/script"?: no such file or directory/,
    atStart: true,
  },
];

for (const { what, args, files, text, atStart } of BROKEN) {
  const command = atStart ? "start" : "create";
  e2e(`${command} tells of ${what} in runc's words, and run does, too`, async (world) => {
    const bundle = await world.bundle({ args, ...(files === undefined ? {} : { files }) });
    if (what === "a file that is not executable") Deno.chmodSync(`${bundle}/rootfs/plain`, 0o644);
    const id = world.id();
    const run = await world.belay(["run", "--bundle", bundle, id]);
    assertEquals([run.code, run.stdout], [1, ""]);
    assert(text.test(errorIn(run.stderr)), errorIn(run.stderr));
    assert(!/SyscallError|ENO[A-Z]/.test(run.stderr), run.stderr);

    const created = await world.belay(["create", "--bundle", bundle, id]);
    assertEquals(created.code, atStart ? 0 : 1, created.stderr);
    if (atStart) {
      const started = await world.belay(["start", id]);
      assertEquals(started.code, 1);
      assert(text.test(errorIn(started.stderr)), started.stderr);
      assertEquals((await world.state(id)).status, "stopped");
      await world.ok(["delete", id]);
    } else assertEquals((await world.belay(["state", id])).code, 1);

    if (noProgram("runc") !== undefined) return;
    const runc = ["runc", "--root", `${world.dir}/runc`, "run", "--bundle", bundle, id];
    const theirs = errorIn((await world.start(runc).ended).stderr).replace("runc run", "belay run");
    // What execve said is written by runc's process in the container, and only there: no log has it.
    if (atStart) assertMatch(theirs, text);
    else assertEquals(errorIn(run.stderr).replace("is a directory: ", ""), theirs);
  });
}
