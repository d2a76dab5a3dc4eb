// belay netns exec: a program in a network namespace, as `ip netns exec` runs it.
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { noProgram } from "../skip.ts";
import { belayPath } from "./belay.ts";
import { processOf } from "./census.ts";
import { errorIn } from "./contained.ts";
import { NetnsWorld } from "./netns_world.ts";
import { Terminal } from "./tmux.ts";
import { e2e, until, type World } from "./world.ts";

function netnsExec(
  name: string,
  work: (inside: NetnsWorld, world: World) => Promise<void>,
  obstacles: Parameters<typeof e2e>[2] = [],
): void {
  e2e(`netns exec ${name}`, async (world) => {
    const inside = await NetnsWorld.start(world);
    await inside.ok(["add", "a"]);
    await work(inside, world);
    await inside.end();
  }, obstacles);
}

/** Starts `belay netns exec a sh -c SCRIPT`: the process is belay's own. */
function start(inside: NetnsWorld, world: World, script: string) {
  return inside.start(["belay", "--root", world.root, "netns", "exec", "a", "sh", "-c", script]
    .with(0, belayPath));
}

netnsExec("runs a program in the namespace, and exits as it does", async (inside) => {
  const { ino } = Deno.statSync(inside.path("/run/netns/a"));
  const script = "readlink /proc/self/ns/net; cat; echo error >&2; exit 7";
  assertEquals(await inside.netns(["exec", "a", "sh", "-c", script], { stdin: "input" }), {
    ...{ code: 7, stdout: `net:[${ino}]\ninput`, stderr: "error\n" },
  });
  assertEquals((await inside.netns(["exec", "a", "sh", "-c", "kill -KILL $$"])).code, 137);
});

netnsExec("passes arguments, environment and working directory on", async (inside, world) => {
  const { stdout } = await inside.script(
    `cd "$HERE"; export X='a b'; belay netns exec a sh -c 'echo "$X|$1|$2|$(pwd)"' sh --json ''`,
    { env: { HERE: world.dir } },
  );
  assertEquals(stdout, `a b|--json||${world.dir}\n`);
});

netnsExec("--json tells how it ended", async (inside) => {
  const { ino: netns } = Deno.statSync(inside.path("/run/netns/a"));
  const told = async (script: string) => {
    const { stdout, code } = await inside.netns(["exec", "--json", "a", "sh", "-c", script]);
    const { pid, ...rest } = JSON.parse(stdout);
    assert(pid > 0);
    return [code, rest];
  };
  assertEquals(await told("exit 3"), [3, { name: "a", netns, exitCode: 3 }]);
  assertEquals(await told("kill -TERM $$"), [143, { name: "a", netns, signal: "SIGTERM" }]);
});

netnsExec("shows the namespace's own /sys, and mounts nothing elsewhere", async (inside) => {
  const before = inside.mountinfo();
  const { stdout } = await inside.ok(["exec", "a", "ls", "/sys/class/net"]);
  assertEquals(stdout, "lo\n");
  assertEquals(inside.mountinfo(), before);
});

netnsExec("puts the files of /etc/netns/NAME in the place of those of /etc", async (inside) => {
  const { stdout, stderr } = await inside.script(`
    set -e
    mkdir -p /run/etc/netns/a; cp /etc/passwd /etc/hosts /run/etc; mount --bind /run/etc /etc
    echo 'nameserver 192.0.2.1' > /etc/netns/a/hosts; echo x > /etc/netns/a/nowhere
    belay netns exec a cat /etc/hosts; belay netns add b; belay netns exec b cmp /etc/hosts /run/etc/hosts`);
  assertEquals(stdout, "nameserver 192.0.2.1\n");
  assertStringIncludes(stderr, "/etc/nowhere"); // which has no counterpart, and is no reason to fail
});

netnsExec("says what cannot be executed, with a shell's exit codes", async (inside) => {
  const failed = async (...args: string[]) => {
    const { code, stderr } = await inside.netns(["exec", ...args]);
    return [code, errorIn(stderr).replace("belay netns exec failed: ", "")];
  };
  assertEquals(await failed("a", "nobody"), [127, 'exec: "nobody": no such file or directory']);
  await inside.script("echo true > /run/text");
  assertEquals(await failed("a", "/run/text"), [126, 'exec: "/run/text": permission denied']);
  assertEquals(await failed("b", "true"), [1, 'there is no network namespace "b"']);
  assertEquals(await failed("../x", "true"), [
    ...[1, 'invalid name of a network namespace: "../x": it is no name of a file'],
  ]);
  await inside.script("touch /run/netns/plain; mkdir /run/netns/directory");
  assertEquals(await failed("directory", "true"), [
    ...[1, "/run/netns/directory is no network namespace"],
  ]);
  assertStringIncludes(String((await failed("plain", "true"))[1]), "belay netns repair");
});

netnsExec("gives scripts without a first line to a shell", async (inside) => {
  await inside.script("echo 'echo I am $1' > /run/script; chmod +x /run/script");
  assertEquals((await inside.ok(["exec", "a", "/run/script", "run"])).stdout, "I am run\n");
});

netnsExec("hands signals on", async (inside, world) => {
  for (const signal of ["TERM", "INT", "HUP", "USR1", "QUIT"] as const) {
    const running = start(
      ...[inside, world] as const,
      `trap 'echo ${signal}; exit 3' ${signal}; echo ready; while :; do sleep 0.05; done`,
    );
    await until("the program runs", () => running.stdout() === "ready\n");
    running.signal(`SIG${signal}`);
    assertEquals((await running.ended).code, 3, signal);
    assertEquals(running.stdout(), `ready\n${signal}\n`);
  }
});

netnsExec("loses no signal that comes with the program's first word", async (inside, world) => {
  for (let round = 0; round < 10; round++) {
    // The program itself sends it, and its parent is belay.
    const script = "trap 'exit 5' TERM; kill -TERM $PPID; while :; do sleep 0.05; done";
    assertEquals((await start(inside, world, script).ended).code, 5);
  }
});

netnsExec("ends the program when belay is killed", async (inside, world) => {
  const running = start(inside, world, "echo $$; exec sleep 100");
  const pid = await until("the program runs", () => running.stdout().trim() || undefined);
  running.signal("SIGKILL");
  await running.ended;
  await until("it is gone", () => /^$|[XZ]/.test(processOf(pid)?.state ?? ""));
});

netnsExec("follows a link to a process's namespace, as ip does", async (inside) => {
  const { stdout } = await inside.script(`
    unshare --net sleep 100 & pid=$!
    until [ "$(readlink /proc/$pid/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do :; done
    ln -s /proc/$pid/ns/net /run/netns/link
    readlink /proc/$pid/ns/net; belay netns exec link readlink /proc/self/ns/net; kill $pid`);
  const [its, seen] = stdout.split("\n");
  assertEquals(seen, its);
});

netnsExec("a program in a terminal gets ^C once, from the terminal", async (inside, world) => {
  const terminal = await Terminal.open(world, { BELAY: belayPath });
  // Once it has the one, the program has belay send it something else: another INT would come before that.
  const program = `trap "echo INT; kill -USR1 \\$PPID" INT; trap "echo USR1" USR1; ` +
    `echo ready; while [ "$x" != q ]; do read -r x; done; echo end`;
  await terminal.enter(
    `${inside.entering.join(" ")} $BELAY --root $ROOT netns exec a sh -c '${program}'`,
  );
  await terminal.wait(/^ready$/m);
  await terminal.keys("C-c");
  await terminal.wait(/^USR1$/m);
  await terminal.enter("q");
  await terminal.wait(/^end\n\$ $/m);
  assertEquals((await terminal.text()).match(/^(\^C)?INT$/gm)?.length, 1);
  await terminal.close();
}, noProgram("tmux"));
