// Which descriptors a container's process has: 0 to 2, and those that were asked for.
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { errorIn } from "./contained.ts";
import { e2e, until, type World } from "./world.ts";

/** What `ls` would print, without ls's own look at the directory: `0 1 2`. */
const LIST = 'cd /proc/self/fd; for f in *; do [ "$f" = "$skip" ] || [ ! -e $f ] || echo $f; done';

/** The numbers of a process's descriptors, and where they lead, seen from outside. */
function descriptorsOf(pid: number): Record<string, string> {
  return Object.fromEntries(
    [...Deno.readDirSync(`/proc/${pid}/fd`)].map(({ name }) => [
      name,
      Deno.readLinkSync(`/proc/${pid}/fd/${name}`),
    ]).sort(),
  );
}

/** Starts a container that sleeps by a shell command line in which `belay` is belay; its descriptors. */
async function inside(
  world: World,
  line: string,
  options: { env?: Record<string, string> } = {},
): Promise<Record<string, string>> {
  const id = world.id();
  const bundle = await world.bundle({ args: ["sleep", "1000"] });
  for (const name of ["a", "b", "c"]) Deno.writeTextFileSync(`${world.dir}/${name}`, name);
  const { code, stderr } = await world.script(line, [bundle, id], options).ended;
  assertEquals([code, stderr], [0, ""]);
  const { pid, status } = await world.state(id);
  assertEquals(status, "running");
  const found = descriptorsOf(pid);
  await world.ok(["delete", "--force", id]);
  return found;
}

const RUN = 'belay run --detach --bundle "$1" "$2"';
const CREATE = 'belay create --bundle "$1" "$2"; belay start "$2"';

/** As in `{ "0": ..., "1": ... }`: the numbers alone. */
function numbers(found: Record<string, string>): number[] {
  return Object.keys(found).map(Number).sort((a, b) => a - b);
}

for (const [name, line] of [["run", RUN], ["create and start", CREATE]] as const) {
  e2e(`${name}: the program has descriptors 0, 1 and 2 alone`, async (world) => {
    assertEquals(numbers(await inside(world, line)), [0, 1, 2]);
  });

  e2e(`${name}: what leaked into belay does not get to the program`, async (world) => {
    const leaks = "exec 3<a 4<b 9<c 63</ 200<.; ";
    assertEquals(numbers(await inside(world, leaks + line)), [0, 1, 2]);
  });
}

for (const [name, line] of [["run", RUN], ["create", CREATE]] as const) {
  e2e(`${name} --preserve-fds N: the program has N more, at their numbers`, async (world) => {
    const preserve = (count: number) =>
      line.replace("--bundle", `--preserve-fds ${count} --bundle`);
    const leaks = "exec 3<a 4<b 5<c 6</ 7<a; ";
    for (const count of [0, 1, 3]) {
      const found = await inside(world, leaks + preserve(count));
      assertEquals(numbers(found), [0, 1, 2, 3, 4, 5].slice(0, 3 + count));
      for (let i = 0; i < count; i++) assertEquals(found[3 + i], `${world.dir}/${"abc"[i]}`);
    }
  });
}

e2e(
  "--preserve-fds: the program can read them, and shares their offset with belay's caller",
  async (world) => {
    const bundle = await world.bundle({
      args: ["sh", "-c", "read -r x <&4; echo $x; echo out >&3"],
    });
    Deno.writeTextFileSync(`${world.dir}/in`, "one\ntwo\n");
    const line = 'exec 3>out 4<in; belay run --preserve-fds 2 --bundle "$1" "$2"; cat out';
    const { stdout, stderr } = await world.script(line, [bundle, world.id()]).ended;
    assertEquals([stdout, stderr], ["one\nout\n", ""]);
  },
);

e2e("--preserve-fds takes many more than one message can carry", async (world) => {
  const opens = 'for ((i = 3; i < 403; i++)); do eval "exec $i<a"; done; exec 403<b; ';
  const line = opens + RUN.replace("--bundle", "--preserve-fds 400 --bundle");
  const found = await inside(world, line);
  assertEquals(numbers(found), Array.from({ length: 403 }, (_, i) => i));
  assertEquals(found["402"], `${world.dir}/a`);
});

e2e("--preserve-fds of a descriptor that the caller has not given is an error", async (world) => {
  const id = world.id();
  const line = 'exec 3<&- 4<&- 5<&-; belay run --preserve-fds 2 --bundle "$1" "$2"';
  const { code, stderr } = await world.script(line, [await world.bundle(), id]).ended;
  assertEquals(code, 1);
  assertMatch(errorIn(stderr), /--preserve-fds 2: belay was given no descriptor 3/);
  assertStringIncludes((await world.belay(["state", id])).stderr, "container does not exist");
});

e2e("LISTEN_FDS: the program gets the sockets and is told of them", async (world) => {
  const bundle = await world.bundle({
    args: ["sh", "-c", "echo $LISTEN_FDS $LISTEN_PID $$; cat <&3; cat <&4"],
  });
  for (const name of ["a", "b"]) Deno.writeTextFileSync(`${world.dir}/${name}`, `${name}\n`);
  const line = `exec 3<a 4<b 5<b; ${activated(2, 'run --bundle "$1" "$2"')}`;
  const { stdout, stderr } = await world.script(line, [bundle, world.id()]).ended;
  assertEquals([stdout, stderr], ["2 1 1\na\nb\n", ""]);
});

e2e("LISTEN_FDS comes first, --preserve-fds after it", async (world) => {
  const command = 'run --detach --preserve-fds 2 --bundle "$1" "$2"';
  const found = await inside(world, `exec 3<a 4<b 5<c 6</; ${activated(1, command)}`);
  assertEquals(numbers(found), [0, 1, 2, 3, 4, 5]);
});

e2e("LISTEN_FDS of another process, or of nobody, is passed over", async (world) => {
  for (const pid of ["LISTEN_PID=1", "LISTEN_PID="]) {
    for (const line of [RUN, CREATE]) {
      const found = await inside(world, `exec 3<a; export LISTEN_FDS=1 ${pid}; ${line}`);
      assertEquals(numbers(found), [0, 1, 2], pid);
    }
  }
});

/** Starts belay as socket activation does (sd_listen_fds(3)): LISTEN_PID is its own process. */
function activated(count: number, command: string): string {
  return `LISTEN_FDS=${count} bash -c 'LISTEN_PID=$$ exec "$BELAY" --root "$ROOT" ${command}' _ "$1" "$2"`;
}

e2e(
  "a created container that waits for start holds nothing of its caller but stdio",
  async (world) => {
    const id = world.id();
    const line = `exec 3<a 4</ 5<.; ${CREATE.split(";")[0]}`;
    const bundle = await world.bundle();
    Deno.writeTextFileSync(`${world.dir}/a`, "");
    assertEquals((await world.script(line, [bundle, id]).ended).code, 0);
    const { pid } = await world.state(id);
    const extra = Object.entries(descriptorsOf(pid)).filter(([fd]) => Number(fd) > 2)
      .map(([, path]) => path.replace(/\d+/g, "N"));
    // The socket that start comes to, and the lock that says that it has not come (decision 4).
    assertEquals(extra.filter((path) => path !== "socket:[N]"), [
      `${world.root}/${id}/exec.lock`.replace(/\d+/g, "N"),
    ]);
    await world.ok(["delete", id]);
  },
);

e2e("children of the program inherit nothing of belay's", async (world) => {
  const bundle = await world.bundle({
    args: ["sh", "-c", `exec 2>&1; (${LIST.replace("$skip", "10")}); true`],
  });
  const line = 'exec 3</ 7<.; belay run --bundle "$1" "$2"';
  const { stdout } = await world.script(line, [bundle, world.id()]).ended;
  // 3 is the shell's own look at the directory, if any.
  assertEquals(stdout.trim().split(/\s+/).filter((fd) => fd !== "3"), ["0", "1", "2"]);
});

e2e("a hook has its input and outputs, and nothing of belay's or its caller's", async (world) => {
  const hook = (name: string) => ({
    path: "/bin/sh",
    args: ["sh", "-c", `ls -l /proc/self/fd >/tmp/${name} 2>&1; true`],
    env: ["PATH=/bin"],
  });
  const out = (name: string) => ({
    ...hook(name),
    args: ["sh", "-c", `ls -l /proc/self/fd >${world.dir}/${name}`],
  });
  const bundle = await world.bundle({
    writable: true,
    config: (spec) => {
      spec.mounts.push({ destination: "/tmp", type: "bind", source: world.dir, options: ["bind"] });
      spec.hooks = {
        createRuntime: [out("createRuntime")],
        createContainer: [{ ...out("createContainer") }],
        startContainer: [hook("startContainer")],
        poststart: [out("poststart")],
        poststop: [out("poststop")],
      };
    },
  });
  const line = 'exec 3</ 4<. 9<a; belay run --preserve-fds 2 --bundle "$1" "$2"';
  Deno.writeTextFileSync(`${world.dir}/a`, "");
  const { code, stderr } = await world.script(line, [bundle, world.id()]).ended;
  assertEquals([code, stderr], [0, ""]);
  for (
    const name of ["createRuntime", "createContainer", "startContainer", "poststart", "poststop"]
  ) {
    const text = await until(name, () => Deno.readTextFileSync(`${world.dir}/${name}`));
    const links = text.split("\n").flatMap((each) =>
      / (\d+) -> (.*)$/.exec(each)?.slice(1, 3).join(" ") ?? []
    );
    const strange = links.filter((each) => !/^0 \/memfd:|^[12] |^3 \/proc\//.test(each));
    assertEquals([links.length > 2, strange], [true, []], `${name}: ${links.join(", ")}`);
  }
});
