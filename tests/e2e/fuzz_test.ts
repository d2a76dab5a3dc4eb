// Damaged configurations and rude sockets: never a crash, a hang or something left, always success or a clear error.
// BELAY_SEED=n repeats or varies what is damaged, BELAY_FUZZ=n how often.
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { Host } from "../../ffi/host.ts";
import { Pidfd } from "../../ffi/pidfd.ts";
import { close } from "../../ffi/syscalls/file.ts";
import { bind, connect, listen, SOCK, socket } from "../../ffi/syscalls/socket.ts";
import { generator } from "../random.ts";
import { type AnySpec, e2e, type World } from "./world.ts";

const { thread } = new Host("/tmp");
const SEED = Number(Deno.env.get("BELAY_SEED") ?? 20261126);
const ROUNDS = Number(Deno.env.get("BELAY_FUZZ") ?? 25);

const ODD: readonly unknown[] = [
  ...[null, true, "", "/", "x", "../..", "\0", "\ud800", 0, -1, 0.5, 7, 2 ** 31, 2 ** 53, 1e300],
  ...[[], [null], ["x"], {}, { x: {} }, "x".repeat(3000)],
];

/** Puts something odd into some place of it, or takes something away. */
function damage(root: AnySpec, random: (limit: number) => number): void {
  const places: [AnySpec, string][] = [];
  const visit = (holder: AnySpec) => {
    for (const key of Object.keys(holder ?? {})) {
      if (typeof holder !== "object") return;
      places.push([holder, key]);
      visit(holder[key]);
    }
  };
  visit(root);
  const [holder, key] = places[random(places.length)] ?? [root, "x"];
  if (random(4) === 0) delete holder[key];
  else holder[key] = structuredClone(ODD[random(ODD.length)]);
}

/** What an error may never be. */
function assertClear(said: string, what: string): void {
  assert(/level=error msg=/.test(said), what);
  assert(!/internal error|TypeError|RangeError|undefined|\[object|panic/.test(said), what);
}

e2e(`run answers to ${ROUNDS} damaged config.json with success or a clear error`, async (world) => {
  const random = generator(SEED);
  const ended = { well: 0, refused: 0 };
  for (let round = 0; round < ROUNDS; round++) {
    const bundle = await world.bundle({
      config(spec) {
        spec.process.user = { uid: 1, gid: 1, additionalGids: [2] };
        spec.process.consoleSize = { height: 1, width: 2 };
        spec.linux.resources = { pids: { limit: 20 }, devices: spec.linux.resources.devices };
        // Not what names places of the host: those this test would then work on.
        const { resources, maskedPaths, readonlyPaths } = spec.linux;
        const linux = { resources, maskedPaths, readonlyPaths };
        const options = { mounts: spec.mounts.map(({ options }: AnySpec) => ({ options })) };
        const damaged = { process: spec.process, linux, options };
        for (let n = random(3); n >= 0; n--) damage(damaged, random);
        spec.process = damaged.process;
        if (typeof damaged.linux === "object") Object.assign(spec.linux, damaged.linux);
        const mounts = damaged.options?.mounts;
        if (!Array.isArray(mounts)) return;
        spec.mounts.forEach((mount: AnySpec, i: number) => Object.assign(mount, mounts[i]));
      },
    });
    const { code, stderr } = await world.belay(["run", "--bundle", bundle, world.id()]);
    const what = `BELAY_SEED=${SEED}, round ${round}: ${code} ${stderr}`;
    if (code === 0) ended.well++;
    else {
      ended.refused++;
      assertClear(stderr, what);
    }
  }
  assert(ended.refused > 0, JSON.stringify(ended));
});

e2e(
  `exec answers to ${ROUNDS} damaged process.json with success or a clear error`,
  async (world) => {
    const random = generator(SEED + 1);
    const id = world.id();
    await world.ok(["run", "-d", "--bundle", await world.bundle({ args: ["sleep", "1000"] }), id]);
    const file = `${world.dir}/process.json`;
    for (let round = 0; round < ROUNDS; round++) {
      const process: AnySpec = {
        ...{ args: ["true"], env: ["PATH=/bin"], cwd: "/", terminal: false, oomScoreAdj: 5 },
        user: { uid: 1, gid: 1, additionalGids: [2] },
        capabilities: { bounding: ["CAP_KILL"], permitted: ["CAP_KILL"] },
        rlimits: [{ type: "RLIMIT_NOFILE", soft: 100, hard: 200 }],
      };
      for (let n = random(3); n >= 0; n--) damage(process, random);
      let text = JSON.stringify(process);
      if (random(8) === 0) text = text.slice(0, random(text.length));
      Deno.writeTextFileSync(file, text);
      const { code, stderr } = await world.belay(["exec", "--process", file, id]);
      const what = `BELAY_SEED=${SEED}, round ${round}: ${text}: ${code} ${stderr}`;
      assert(code === 0 || code === 255, what);
      if (code !== 0) assertClear(stderr, what);
    }
    assertEquals(JSON.parse((await world.ok(["ps", "-f", "json", id])).stdout).length, 1);
    await world.ok(["delete", "--force", id]);
  },
);

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

/** Every command that sends to a socket of its caller's. */
function senders(bundle: string, id: string, running: string, path: string): string[][] {
  const create = ["--bundle", bundle, id];
  return [
    ["create", "--console-socket", path, ...create],
    ["run", "--detach", "--pidfd-socket", path, "--console-socket", path, ...create],
    ["exec", "--detach", "--tty", "--console-socket", path, running, "sleep", "1001"],
    ["exec", "--pidfd-socket", path, running, "sleep", "1001"],
  ];
}

async function offered(world: World, what: string, running: string, bundle: string): Promise<void> {
  const path = `${world.dir}/${what.replaceAll(" ", "-")}`;
  const open = RUDE[what]?.(path) ?? [];
  try {
    const id = world.id();
    // All at once: where a socket is to be waited for, it takes its time.
    await Promise.all(
      senders(bundle, id, running, path).map(async (args, i) => {
        const own = args.map((arg) => arg === id ? `${id}-${i}` : arg);
        const { code, stderr } = await world.belay(own);
        assert(code !== 0, `${what}: ${own.join(" ")}`);
        assertClear(stderr, `${what}: ${own.join(" ")}: ${stderr}`);
        assertStringIncludes(stderr, `-socket: ${path}`);
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
});

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
