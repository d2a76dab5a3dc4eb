// A place for one end-to-end test: bundles, a state root, the executable under test; and a census around it all.
//
//   e2e("run returns the program's exit code", async (world) => {
//     const bundle = await world.bundle({ args: ["sh", "-c", "exit 7"] });
//     assertEquals((await world.belay(["run", world.id()], { cwd: bundle })).code, 7);
//   });
import { noFile, notRoot, type Obstacle, testUnless } from "../skip.ts";
import { belayPath, type Ended } from "./belay.ts";
import { assertUnchanged, census, descendants, MARK } from "./census.ts";

export { belayPath, type Ended } from "./belay.ts";
export { MARK, sleep, until } from "./census.ts";

// deno-lint-ignore no-explicit-any -- tests also write configurations that no type allows
export type AnySpec = any;

/** What a bundle is to hold. */
export interface BundleOptions {
  /** `process.args`. */
  readonly args?: readonly string[];
  /** Changes `belay spec`'s configuration, which has no terminal here. */
  readonly config?: (spec: AnySpec) => void;
  /** Files below the rootfs, by path; the container may write to it then. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
  /** A rootfs of its own, which the container may write to (default: one for all, read-only). */
  readonly writable?: boolean;
}

/** How belay is run. */
export interface Options {
  readonly cwd?: string;
  /** What it reads; nothing (/dev/null) by default. */
  readonly stdin?: string;
  /** Added to the environment; with `clearEnv` all of it. */
  readonly env?: Record<string, string>;
  readonly clearEnv?: boolean;
  /** The state root; null: leave --root out. Default: the world's. */
  readonly root?: string | null;
  /** When it is killed (default: 3 min, for a busy machine: what hangs does so for longer). */
  readonly timeoutMs?: number;
}

/** A program under way. Its output goes to files, and so nobody waits for a container that keeps them open. */
export interface Running {
  readonly pid: number;
  /** How it ended. */
  readonly ended: Promise<Ended>;
  signal(name: Deno.Signal): void;
  /** What it has printed so far. */
  stdout(): string;
  /** What it has complained about so far. */
  stderr(): string;
}

/** A test of the executable, run by root, inside a census. */
export function e2e(
  name: string,
  work: (world: World) => Promise<void>,
  obstacles: Obstacle | readonly Obstacle[] = [],
): void {
  testUnless([notRoot(), noFile("/bin/busybox"), ...[obstacles].flat()], name, async () => {
    const world = new World();
    const before = census(world.root);
    let passed = false;
    try {
      await work(world);
      await assertUnchanged(before, world.root);
      passed = true;
    } finally {
      if (!passed) await world.sweep();
      world.remove();
    }
  });
}

/** Takes the pid namespace out of a configuration, and the procfs, which may not be mounted without. */
export function inHostPids(spec: AnySpec): void {
  const isNot = (type: string) => (each: { type: string }) => each.type !== type;
  spec.linux.namespaces = spec.linux.namespaces.filter(isNot("pid"));
  spec.mounts = spec.mounts.filter(isNot("proc"));
  spec.linux.maskedPaths = spec.linux.readonlyPaths = [];
}

/** This module's directory; gone when the module is. */
const home = Deno.makeTempDirSync({ prefix: `belay-${MARK}-` });
globalThis.addEventListener("unload", () => Deno.removeSync(home, { recursive: true }));
Deno.chmodSync(home, 0o755);

let count = 0;
let defaultSpec: string | undefined;
let sharedRootfs: string | undefined;

export class World {
  /** A directory of the test's own. */
  readonly dir = `${home}/${++count}`;
  /** The state root; belay makes it. */
  readonly root = `${this.dir}/state`;
  #files = 0;
  #started: Promise<Ended>[] = [];

  constructor() {
    Deno.mkdirSync(this.dir);
  }

  /** A container id that nobody else has. */
  id(label = "c"): string {
    return `${MARK}-${++count}-${label}`;
  }

  /** Makes a bundle with a busybox in it; its directory. */
  async bundle(options: BundleOptions = {}): Promise<string> {
    const bundle = `${this.dir}/bundle-${++this.#files}`;
    Deno.mkdirSync(bundle);
    const spec: AnySpec = JSON.parse(defaultSpec ??= await makeSpec());
    spec.process.terminal = false;
    spec.process.args = options.args ?? ["true"];
    const rootfs = sharedRootfs ??= makeRootfs();
    if (options.writable || options.files !== undefined) {
      await command(["cp", "-al", rootfs, `${bundle}/rootfs`]);
      spec.root = { path: "rootfs" };
    } else spec.root = { path: rootfs, readonly: true };
    for (const [path, content] of Object.entries(options.files ?? {})) {
      const file = `${bundle}/rootfs/${path}`;
      Deno.mkdirSync(file.slice(0, file.lastIndexOf("/")), { recursive: true });
      if (typeof content === "string") Deno.writeTextFileSync(file, content, { mode: 0o755 });
      else Deno.writeFileSync(file, content, { mode: 0o755 });
    }
    options.config?.(spec);
    Deno.writeTextFileSync(`${bundle}/config.json`, JSON.stringify(spec, null, 1));
    return bundle;
  }

  /** Runs belay to its end. */
  belay(args: readonly string[], options: Options = {}): Promise<Ended> {
    return this.spawn(args, options).ended;
  }

  /** As `belay`, for what has to work. @throws with what it said, when it did not. */
  async ok(args: readonly string[], options: Options = {}): Promise<Ended> {
    const ended = await this.belay(args, options);
    if (ended.code !== 0) throw new Error(`belay ${args.join(" ")}: ${JSON.stringify(ended)}`);
    return ended;
  }

  /** Starts belay. */
  spawn(args: readonly string[], options: Options = {}): Running {
    const { root = this.root } = options;
    const globals = root === null ? [] : ["--root", root];
    return this.start([belayPath, ...globals, ...args], options);
  }

  /** Starts a bash script, to which `belay` is the executable with the state root; $1... are the arguments. */
  script(text: string, args: readonly string[] = [], options: Options = {}): Running {
    const { root = this.root } = options;
    const head = `belay() { "$BELAY" --root "$ROOT" "$@"; }\n`;
    const env = { BELAY: belayPath, ROOT: root ?? "", ...options.env };
    return this.start(["bash", "-c", head + text, "bash", ...args], { ...options, env });
  }

  /** Starts any program. */
  start(argv: readonly string[], options: Options = {}): Running {
    const { cwd, stdin, env, clearEnv, timeoutMs = 180_000 } = options;
    const base = `${this.dir}/io-${++this.#files}`;
    if (stdin !== undefined) Deno.writeTextFileSync(`${base}.in`, stdin);
    for (const end of ["out", "err"]) Deno.writeTextFileSync(`${base}.${end}`, "");
    const input = stdin === undefined ? "/dev/null" : `${base}.in`;
    const child = new Deno.Command("/bin/sh", {
      // The shell becomes the program: its process number and its parent are the program's.
      args: ["-c", `exec "$@" <'${input}' >'${base}.out' 2>'${base}.err'`, "sh", ...argv],
      stdin: "null",
      stdout: "null",
      stderr: "null",
      cwd: cwd ?? this.dir,
      ...(env === undefined ? {} : { env }),
      ...(clearEnv === undefined ? {} : { clearEnv }),
    }).spawn();
    const text = (end: string) => Deno.readTextFileSync(`${base}.${end}`);
    const ended = this.#end(child, timeoutMs, argv).then((code) => ({
      code,
      stdout: text("out"),
      stderr: text("err"),
    }));
    this.#started.push(ended);
    return {
      pid: child.pid,
      ended,
      signal: (name) => child.kill(name),
      stdout: () => text("out"),
      stderr: () => text("err"),
    };
  }

  async #end(
    child: Deno.ChildProcess,
    timeoutMs: number,
    argv: readonly string[],
  ): Promise<number> {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill("SIGKILL");
    }, timeoutMs);
    const { code } = await child.status;
    clearTimeout(timer);
    if (late) throw new Error(`took more than ${timeoutMs} ms: ${argv.join(" ")}`);
    return code;
  }

  /** What `belay state` says. */
  async state(id: string): Promise<AnySpec> {
    return JSON.parse((await this.ok(["state", id])).stdout);
  }

  /** After a failure: ends what is left, so that the next test has a clean machine. */
  async sweep(): Promise<void> {
    // First whoever hangs: it may have a container locked.
    for (const { pid } of descendants()) {
      try {
        Deno.kill(pid, "SIGKILL");
      } catch {
        // It has ended.
      }
    }
    await Promise.allSettled(this.#started); // what went wrong there is not the failure to tell
    for (const id of namesIn(this.root)) await this.belay(["delete", "--force", id]);
  }

  /** Removes the directory, but never what is mounted below it. */
  remove(): void {
    const mounts = Deno.readTextFileSync("/proc/self/mountinfo").split("\n")
      .filter((line) => (line.split(" ")[4] ?? "").startsWith(`${this.dir}/`));
    if (mounts.length > 0) throw new Error(`still mounted: ${mounts.join(", ")}`);
    Deno.removeSync(this.dir, { recursive: true });
  }
}

async function makeSpec(): Promise<string> {
  const directory = `${home}/spec`;
  Deno.mkdirSync(directory);
  await command([belayPath, "spec", "--bundle", directory]);
  return Deno.readTextFileSync(`${directory}/config.json`);
}

/** A root file system with a static busybox, and everything in it that a container's set-up would make. */
function makeRootfs(): string {
  const rootfs = `${home}/rootfs`;
  for (const name of ["bin", "dev", "etc", "proc", "root", "sys/fs/cgroup", "tmp", "var"]) {
    Deno.mkdirSync(`${rootfs}/${name}`, { recursive: true });
  }
  Deno.copyFileSync("/bin/busybox", `${rootfs}/bin/busybox`);
  const { stdout } = new Deno.Command("/bin/busybox", { args: ["--list"] }).outputSync();
  for (const applet of new TextDecoder().decode(stdout).trim().split("\n")) {
    if (applet !== "busybox") Deno.symlinkSync("busybox", `${rootfs}/bin/${applet}`);
  }
  Deno.writeTextFileSync(`${rootfs}/etc/passwd`, "root:x:0:0:root:/root:/bin/sh\n");
  Deno.writeTextFileSync(`${rootfs}/etc/group`, "root:x:0:\n");
  return rootfs;
}

async function command([program = "", ...args]: readonly string[]): Promise<void> {
  const { code, stderr } = await new Deno.Command(program, { args, stdin: "null" }).output();
  if (code !== 0) throw new Error(`${program}: ${new TextDecoder().decode(stderr)}`);
}

function namesIn(path: string): string[] {
  try {
    return [...Deno.readDirSync(path)].map(({ name }) => name);
  } catch {
    return []; // no container was made
  }
}
