// Terminals of programs that exec adds: handed over, and in the foreground.
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Host } from "../../ffi/host.ts";
import { Pidfd } from "../../ffi/pidfd.ts";
import { close, write } from "../../ffi/syscalls/file.ts";
import { setWindowSize } from "../../ffi/syscalls/tty.ts";
import { noProgram } from "../skip.ts";
import { commandLine, descendants } from "./census.ts";
import { expectOutput, Receiver } from "./receiver.ts";
import { Terminal } from "./tmux.ts";
import { belayPath, e2e, until, type World } from "./world.ts";

const { thread } = new Host("/tmp");

async function running(world: World): Promise<string> {
  const id = world.id();
  const bundle = await world.bundle({ args: ["sleep", "1000"] });
  await world.ok(["run", "--detach", "--bundle", bundle, id]);
  return id;
}

e2e("exec --console-socket sends the master of the program's own terminal", async (world) => {
  const id = await running(world);
  using receiver = new Receiver(world);
  const file = `${world.dir}/process.json`;
  Deno.writeTextFileSync(
    file,
    JSON.stringify({
      args: ["sh", "-c", "tty; ls -n /dev/pts/0; stty size; read line; echo got $line; read line"],
      env: ["PATH=/bin"],
      cwd: "/",
      terminal: true,
      consoleSize: { height: 40, width: 132 },
      user: { uid: 7, gid: 8 },
    }),
  );
  const pidFile = `${world.dir}/pid`;
  const flags = ["--detach", "--console-socket", receiver.path, "--pid-file", pidFile];
  await world.ok(["exec", "--process", file, ...flags, id]);
  const { fd: master } = receiver.take();
  try {
    const text = await expectOutput(master, /40 132/);
    assertMatch(text, /^\/dev\/pts\/0\r\ncrw--w----\s+1 7\s/);
    thread.call(setWindowSize(master, { rows: 50, columns: 100 }));
    thread.call(write(master, "typed\n"));
    await expectOutput(master, /got typed/);
  } finally {
    thread.call(close(master));
  }
  // A second one is another terminal, and the first process keeps its console.
  using again = new Receiver(world);
  await world.ok([
    ...["exec", "--tty", "--detach", "--console-socket", again.path],
    ...["--pid-file", `${pidFile}-2`, id, "sh", "-c"],
    "test -c /dev/console || echo no console; read line",
  ]);
  const { fd } = again.take();
  await expectOutput(fd, /no console/);
  thread.call(close(fd));
  await world.ok(["delete", "--force", id]);
  // Both are this process's to reap, as they are their caller's wherever belay is used.
  for (const file of [pidFile, `${pidFile}-2`]) {
    using added = Pidfd.open(thread, Number(Deno.readTextFileSync(file)));
    added.reap();
  }
});

e2e(
  "exec refuses a terminal that nobody would have, and a socket that nothing uses",
  async (world) => {
    const id = await running(world);
    const refused = async (...args: string[]) => {
      const { code, stderr } = await world.belay(["exec", ...args, id, "true"]);
      assertEquals(code, 255);
      return stderr;
    };
    assertStringIncludes(
      await refused("--tty", "--detach"),
      "cannot allocate tty if belay will detach without setting console socket",
    );
    for (const flags of [["--tty"], ["--detach"], []]) {
      assertStringIncludes(
        await refused(...flags, "--console-socket", `${world.dir}/none`),
        "cannot use console socket if belay will not detach or allocate tty",
      );
    }
    assertStringIncludes(
      await refused("--tty", "--detach", "--console-socket", `${world.dir}/none`),
      `--console-socket: ${world.dir}/none`,
    );
    await world.ok(["delete", "--force", id]);
  },
);

e2e(
  "exec --tty has a terminal of its own: typing, job control, sizes, exit code",
  async (world) => {
    const id = await running(world);
    const terminal = await Terminal.open(world);
    try {
      const exec = `'${belayPath}' --root $ROOT exec -t -e 'PS1=inside> ' ${id} sh; echo "code=$?"`;
      await terminal.enter(exec);
      await terminal.wait(/^inside> $/m);
      await terminal.enter("tty; echo $((6 * 7))");
      await terminal.wait(/^\/dev\/pts\/0\n42$/m);
      await terminal.enter("sleep 1001; echo ended $?");
      // Typed before the shell has begun with it, ^C would be a character of the next line.
      await until(
        "it sleeps",
        () => descendants().some(({ pid }) => commandLine(pid) === "sleep 1001"),
      );
      await terminal.keys("C-c");
      await terminal.enter("exit 5");
      await terminal.wait(/^code=5$/m);
    } finally {
      await terminal.close();
    }
    await world.ok(["delete", "--force", id]);
  },
  noProgram("tmux"),
);

e2e("exec --tty works with pipes at its ends", async (world) => {
  const id = await running(world);
  const { stdout } = await world.ok(["exec", "--tty", id, "sh", "-c", "read line; echo $line"], {
    stdin: "piped\n",
  });
  assertStringIncludes(stdout, "piped");
  await world.ok(["delete", "--force", id]);
});
