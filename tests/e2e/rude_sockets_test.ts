// Sockets of callers as nobody should offer them, and listeners that do not do their part: an error, no hang, nothing left.
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { Host } from "../../ffi/host.ts";
import { Pidfd } from "../../ffi/pidfd.ts";
import { SyscallError } from "../../ffi/syscall_error.ts";
import { close } from "../../ffi/syscalls/file.ts";
import { bind, connect, listen, SOCK, socket } from "../../ffi/syscalls/socket.ts";
import { assertClear } from "./damage.ts";
import { Agent } from "./seccomp_listener.ts";
import { noLibseccomp, only } from "./seccomp_world.ts";
import { e2e, until, type World } from "./world.ts";

const { thread } = new Host("/tmp");

/** Sockets as nobody should offer them; what is to be closed afterwards. */
const RUDE: Readonly<Record<string, (path: string) => readonly number[]>> = {
  "a plain file": (path) => {
    Deno.writeTextFileSync(path, "");
    return [];
  },
  "a directory": (path) => {
    Deno.mkdirSync(path);
    return [];
  },
  "a socket that nobody has bound any more": (path) => {
    const fd = thread.call(socket(SOCK.SOCK_STREAM));
    thread.batch([bind(fd, path), close(fd)]);
    return [];
  },
  "a socket of another type": (path) => {
    const fd = thread.call(socket(SOCK.SOCK_SEQPACKET));
    thread.batch([bind(fd, path), listen(fd, 1)]);
    return [fd];
  },
  "a socket with a full queue": (path) => {
    const fd = thread.call(socket(SOCK.SOCK_STREAM));
    const waiting = thread.call(socket(SOCK.SOCK_STREAM));
    thread.batch([bind(fd, path), listen(fd, 0), connect(waiting, path)]);
    return [fd, waiting];
  },
};

/** Bundles with a terminal, and with a filter that has somebody else decide. */
interface Bundles {
  readonly terminal: string;
  readonly notifying: string;
}

/** Every command that sends to a socket of its caller's. */
function senders(bundles: Bundles, id: string, running: string, path: string): string[][] {
  const create = ["--bundle", bundles.terminal, id];
  return [
    ["create", "--console-socket", path, ...create],
    ["run", "--detach", "--pidfd-socket", path, "--console-socket", path, ...create],
    ["exec", "--detach", "--tty", "--console-socket", path, running, "sleep", "1001"],
    ["exec", "--pidfd-socket", path, running, "sleep", "1001"],
    ["run", "--detach", "--bundle", bundles.notifying, id],
  ];
}

/** A bundle whose filter has whoever listens there decide about system calls. */
function notifying(
  world: World,
  listenerPath: string,
  names: readonly string[],
  args: readonly string[] = ["sleep", "1000"],
): Promise<string> {
  return world.bundle({
    args,
    config: (spec) => spec.linux.seccomp = { ...only("SCMP_ACT_NOTIFY", names), listenerPath },
  });
}

async function offered(
  world: World,
  what: string,
  running: string,
  terminal: string,
): Promise<void> {
  const path = `${world.dir}/${what.replaceAll(" ", "-")}`;
  const open = RUDE[what]?.(path) ?? [];
  const bundles = { terminal, notifying: await notifying(world, path, ["acct"]) };
  try {
    const id = world.id();
    // All at once: where a socket is to be waited for, it takes its time.
    await Promise.all(
      senders(bundles, id, running, path).map(async (args, i) => {
        const own = args.map((arg) => arg === id ? `${id}-${i}` : arg);
        const { code, stderr } = await world.belay(own);
        assert(code !== 0, `${what}: ${own.join(" ")}`);
        assertClear(stderr, `${what}: ${own.join(" ")}: ${stderr}`);
        const named = own.includes(bundles.notifying)
          ? `linux.seccomp.listenerPath: the listener cannot be sent to ${path}`
          : `-socket: ${path}`;
        assertStringIncludes(stderr, named);
      }),
    );
  } finally {
    for (const fd of open) thread.call(close(fd));
  }
}

e2e("rude sockets of callers make an error, no hang, and leave nothing", async (world) => {
  const running = world.id();
  const bundle = await world.bundle({
    args: ["sleep", "1000"],
    config: (spec) => spec.process.terminal = true,
  });
  const plain = await world.bundle({ args: ["sleep", "1000"] });
  await world.ok(["run", "--detach", "--bundle", plain, running]);
  for (const what of Object.keys(RUDE)) await offered(world, what, running, bundle);
  assertEquals(JSON.parse((await world.ok(["ps", "-f", "json", running])).stdout).length, 1);
  await world.ok(["delete", "--force", running]);
}, noLibseccomp());

for (const command of ["create", "exec"]) {
  e2e(`${command} survives a console socket whose reader hangs up at once`, async (world) => {
    const path = `${world.dir}/socket`;
    const fd = thread.call(socket(SOCK.SOCK_STREAM));
    thread.batch([bind(fd, path), listen(fd, 5)]);
    const id = world.id();
    const bundle = await world.bundle({
      args: ["sleep", "1000"],
      config: (spec) => spec.process.terminal = command === "create",
    });
    if (command === "exec") await world.ok(["run", "--detach", "--bundle", bundle, id]);
    const sent = command === "create"
      ? world.spawn(["create", "--console-socket", path, "--bundle", bundle, id])
      : world.spawn([
        ...["exec", "--tty", "--detach", "--console-socket", path],
        ...["--pid-file", `${world.dir}/pid`, id, "sleep", "1001"],
      ]);
    // Nobody ever accepts it, and the queue is closed while it waits there.
    assertEquals((await sent.ended).code, 0);
    thread.call(close(fd));
    await world.ok(["delete", "--force", id]);
    if (command !== "exec") return;
    using added = Pidfd.open(thread, Number(Deno.readTextFileSync(`${world.dir}/pid`)));
    added.reap(); // it is this process's, as its caller's
  });
}

/** Listeners that do not do their part, once belay has come. */
const RUDE_AGENTS: Readonly<Record<string, (agent: Agent) => Promise<void>>> = {
  "that hangs up and takes nothing": async (agent) => {
    await until("somebody comes", () => agent.called());
    agent[Symbol.dispose]();
  },
  "that takes the listener and lets go of it": async (agent) => {
    const { listener } = await agent.take();
    listener[Symbol.dispose]();
  },
  "that answers what nobody has asked": async (agent) => {
    const { listener } = await agent.take();
    using _listener = listener;
    const stranger = { id: 0x1234567890n, pid: 1, nr: 0, args: [] };
    assertThrows(() => listener.answer(stranger, { error: 1 }), SyscallError, "ENOENT");
  },
};

for (const [what, behave] of Object.entries(RUDE_AGENTS)) {
  e2e(`run survives a seccomp agent ${what}`, async (world) => {
    using agent = new Agent(world);
    // Without a listener such a call fails with ENOSYS (seccomp_unotify(2)): the program's matter, or start's error.
    const script = ["sh", "-c", "mkdir /tmp/made 2>/dev/null || exit 7"];
    const late = await notifying(world, agent.path, ["mkdir", "mkdirat"], script);
    const running = world.spawn(["run", "--bundle", late, world.id()]);
    await behave(agent);
    const { code, stderr } = await running.ended;
    if (code === 1) {
      // Who hangs up early enough is one to whom nothing can be sent.
      assertClear(stderr, stderr);
      assertStringIncludes(stderr, `the listener cannot be sent to ${agent.path}`);
    } else assertEquals(code, 7, stderr);
  }, noLibseccomp());
}

e2e("start tells that a seccomp agent has let go of execve", async (world) => {
  using agent = new Agent(world);
  const id = world.id();
  await world.ok(["create", "--bundle", await notifying(world, agent.path, ["execve"]), id]);
  const started = world.spawn(["start", id]);
  const { listener } = await agent.take();
  listener[Symbol.dispose]();
  const { code, stderr } = await started.ended;
  assertEquals(code, 1);
  assertClear(stderr, stderr);
  assertStringIncludes(stderr, "function not implemented");
  await world.ok(["delete", "--force", id]);
}, noLibseccomp());

e2e("kill ends a container whose seccomp agent never answers, and its start", async (world) => {
  using agent = new Agent(world);
  const id = world.id();
  await world.ok(["create", "--bundle", await notifying(world, agent.path, ["execve"]), id]);
  const started = world.spawn(["start", id]);
  const { listener } = await agent.take();
  using _listener = listener;
  await listener.next(); // it waits for an answer now
  await world.ok(["kill", id, "KILL"]);
  // Seen from here it is no other thing than a program that was killed before its first instruction.
  assertEquals((await started.ended).code, 0);
  await world.ok(["delete", id]);
}, noLibseccomp());
