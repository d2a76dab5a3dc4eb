// --console-socket: the terminal's master is sent to whoever stays when belay does not.
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Host } from "../../ffi/host.ts";
import { close, fcntl, fstatfs, read, statx, write } from "../../ffi/syscalls/file.ts";
import { getWindowSize, setWindowSize } from "../../ffi/syscalls/tty.ts";
import { AT, F, FD_CLOEXEC, FS_MAGIC } from "../../ffi/abi/file_flags.ts";
import { isSyscallError } from "../../ffi/syscall_error.ts";
import { errorIn } from "./contained.ts";
import { expectOutput, Receiver } from "./receiver.ts";
import { type AnySpec, e2e, until, type World } from "./world.ts";

const { thread } = new Host("/tmp");

function withTerminal(
  world: World,
  args: readonly string[],
  more: (spec: AnySpec) => void = () => {},
): Promise<string> {
  return world.bundle({
    args,
    config: (spec) => {
      spec.process.terminal = true;
      more(spec);
    },
  });
}

for (const command of ["create", "run --detach"]) {
  e2e(`${command} --console-socket sends the terminal's master, named /dev/ptmx`, async (world) => {
    using receiver = new Receiver(world);
    const id = world.id();
    const bundle = await withTerminal(world, [
      "sh",
      "-c",
      "read x; echo got $x; tty; exec sleep 1000",
    ]);
    const create = world.spawn([
      ...command.split(" "),
      ...["--console-socket", receiver.path, "--bundle", bundle, id],
    ]);
    const { fd: master, text } = receiver.take();
    try {
      assertEquals(await create.ended, { code: 0, stdout: "", stderr: "" });
      assertEquals(text, "dev/ptmx");
      const [stat, { type }] = thread.batch([statx(master, "", AT.AT_EMPTY_PATH), fstatfs(master)]);
      assertEquals([stat.rdevMajor, stat.rdevMinor, type], [5, 2, FS_MAGIC.DEVPTS_SUPER_MAGIC]);
      assertEquals(thread.call(fcntl(master, F.F_GETFD)), FD_CLOEXEC);
      if (command === "create") await world.ok(["start", id]);
      thread.call(write(master, "typed\n"));
      assertMatch(
        await expectOutput(master, /\/dev\/pts\/0/),
        /typed\r\ngot typed\r\n\/dev\/pts\/0/,
      );
      await world.ok(["delete", "--force", id]);
      // The other end is gone with the container.
      await until("the end", () => {
        try {
          return thread.call(read(master, 4096)).length === 0;
        } catch (error) {
          if (isSyscallError(error, "EIO")) return true;
          throw error;
        }
      });
    } finally {
      thread.call(close(master));
    }
  });
}

e2e(
  "the receiver of the terminal sets its size, and consoleSize is the size before that",
  async (world) => {
    using receiver = new Receiver(world);
    const id = world.id();
    const bundle = await withTerminal(
      world,
      ["sh", "-c", "stty size; trap 'stty size' WINCH; while :; do sleep 0.05; done"],
      (spec) => spec.process.consoleSize = { height: 40, width: 132 },
    );
    const run = world.spawn([
      "run",
      "-d",
      "--console-socket",
      receiver.path,
      "--bundle",
      bundle,
      id,
    ]);
    const { fd: master } = receiver.take();
    await run.ended;
    assertEquals(thread.call(getWindowSize(master)), { rows: 40, columns: 132 });
    await expectOutput(master, /40 132/);
    thread.call(setWindowSize(master, { rows: 50, columns: 100 }));
    await expectOutput(master, /50 100/);
    thread.call(close(master));
    await world.ok(["delete", "--force", id]);
  },
);

e2e("when the receiver closes the terminal, the program gets SIGHUP", async (world) => {
  using receiver = new Receiver(world);
  const id = world.id();
  const bundle = await withTerminal(world, [
    "sh",
    "-c",
    "trap 'exit 3' HUP; echo ready; while :; do sleep 0.05; done",
  ]);
  const run = world.spawn(["run", "-d", "--console-socket", receiver.path, "--bundle", bundle, id]);
  const { fd: master } = receiver.take();
  assertEquals((await run.ended).code, 0);
  await expectOutput(master, /ready/);
  thread.call(close(master));
  await until("it stops", async () => (await world.state(id)).status === "stopped");
  await world.ok(["delete", id]);
});

e2e("a terminal needs --console-socket where belay does not stay", async (world) => {
  const bundle = await withTerminal(world, ["sh"]);
  const id = world.id();
  for (const args of [["create"], ["run", "--detach"]]) {
    const { code, stderr } = await world.belay([...args, "--bundle", bundle, id]);
    assertEquals(code, 1);
    assertStringIncludes(
      errorIn(stderr),
      "cannot allocate tty if belay will detach without setting console socket",
    );
  }
  assertEquals((await world.belay(["state", id])).code, 1);
});

e2e("--console-socket is refused without a terminal, or where belay stays", async (world) => {
  using receiver = new Receiver(world);
  const plain = await world.bundle();
  const tty = await withTerminal(world, ["sh"]);
  const id = world.id();
  for (
    const [args, bundle] of [[["create"], plain], [["run", "-d"], plain], [["run"], plain], [[
      "run",
    ], tty]] as const
  ) {
    const { code, stderr } = await world.belay([
      ...args,
      ...["--console-socket", receiver.path, "--bundle", bundle, id],
    ]);
    assertEquals(code, 1);
    assertStringIncludes(
      errorIn(stderr),
      "cannot use console socket if belay will not detach or allocate tty",
    );
  }
  assert(!receiver.called());
});

e2e("a console socket that nobody listens on is told by name, and nothing stays", async (world) => {
  const bundle = await withTerminal(world, ["sh"]);
  const id = world.id();
  const plain = `${world.dir}/plain`;
  Deno.writeTextFileSync(plain, "");
  for (const path of [`${world.dir}/none`, plain]) {
    const { code, stderr } = await world.belay([
      "create",
      "--console-socket",
      path,
      "--bundle",
      bundle,
      id,
    ]);
    assertEquals(code, 1);
    assertMatch(
      errorIn(stderr),
      new RegExp(`--console-socket: ${path}: .*(no such file|connection refused)`),
    );
    assertEquals((await world.belay(["state", id])).code, 1);
  }
});

e2e("a console socket's path may be longer than an address holds", async (world) => {
  const directory = `${world.dir}/${"long-".repeat(25)}`;
  Deno.mkdirSync(directory);
  const bundle = await withTerminal(world, ["true"]);
  const id = world.id();
  using receiver = new Receiver(world);
  Deno.symlinkSync(receiver.path, `${directory}/console.sock`);
  const create = world.spawn([
    "create",
    "--console-socket",
    `${directory}/console.sock`,
    "--bundle",
    bundle,
    id,
  ]);
  const ended = await create.ended;
  assertEquals([ended.code, ended.stderr], [0, ""]);
  thread.call(close(receiver.take().fd));
  await world.ok(["delete", "--force", id]);
});
