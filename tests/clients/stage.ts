// Where a client and its daemon are tested: pid, network and mount namespaces of their own, with an empty /run, an empty
// cache for the launcher, and an /etc that forgets what is written to it. So the machine's own docker, containerd, podman, links and firewall are
// neither seen nor touched; and whatever a daemon leaves running ends with the stage, even when the test is killed.
import type { Ended } from "../e2e/belay.ts";
import { assertEquals } from "@std/assert";
import { descendants, MARK, type Process, until } from "../e2e/census.ts";

/** How a program is run on the stage. */
export interface StageOptions {
  /** What it reads; nothing by default. */
  readonly stdin?: string;
  /** All of its environment, but for PATH and HOME. */
  readonly env?: Readonly<Record<string, string>>;
  /** When it is ended. */
  readonly timeoutMs?: number;
}

/** A program under way, its output in a file. */
export interface Actor {
  /** How it ended. */
  readonly status: Promise<Deno.CommandStatus>;
  /** What it has printed so far, errors too. */
  output(): string;
  /** Sends it a signal, when it has not ended. */
  signal(name: string): Promise<void>;
  /** Sends it a signal (SIGTERM), and waits until it has ended. */
  end(signal?: string): Promise<void>;
}

/** The whole environment of what runs on a stage, but for what is asked for. */
const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/**
 * Prepares the namespaces, and ends when standard input does: `tini` is the first process of the pid
 * namespace, so that orphans find somebody who reaps them, and `cat` is what it waits for.
 */
const SET = `set -e
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/etc/upper /run/etc/work /run/lock /run/netns
mount --bind /run/netns /run/netns
mount --make-shared /run/netns
mount -t overlay -o lowerdir=/etc,upperdir=/run/etc/upper,workdir=/run/etc/work overlay /etc
mkdir -p /var/cache/belay /var/lib/containers
mount -t tmpfs -o mode=700 tmpfs /var/lib/containers
mount -t tmpfs -o mode=700 tmpfs /var/cache/belay
mkdir /run/cgroup
mount --move /sys/fs/cgroup /run/cgroup 2>/dev/null || mount --rbind /sys/fs/cgroup /run/cgroup
mount -t sysfs sysfs /sys
mount --move /run/cgroup /sys/fs/cgroup
rmdir /run/cgroup
ip link set lo up
printf 'ready\\n'
exec tini -s -- cat >/dev/null
`;

const home = Deno.makeTempDirSync({ prefix: `belay-${MARK}-` });
globalThis.addEventListener("unload", () => Deno.removeSync(home, { recursive: true }));
Deno.chmodSync(home, 0o755);

/**
 * Removes what the kernel does not take back when this process is killed, and its stages with it: files, and cgroups,
 * which are the machine's. It waits for the end of its standard input; otherwise it finds nothing to remove.
 */
const SWEEP = `trap '' HUP INT TERM
cat >/dev/null
for _ in $(seq 300); do
  find /sys/fs/cgroup/ -mindepth 2 -maxdepth 2 -name '${MARK}*' -exec find {} -depth -type d -delete \\;
  [ -z "$(find /sys/fs/cgroup/ -mindepth 2 -maxdepth 2 -name '${MARK}*')" ] && break
  sleep 0.1
done
rm -rf --one-file-system '${home}'
`;
new Deno.Command("setsid", {
  args: ["sh", "-c", SWEEP],
  ...{ stdin: "piped", stdout: "null", stderr: "null" },
}).spawn().unref();

/** Where clients have the runtimes keep their containers. */
const STATES = [
  ...["/run/docker/runtime-runc/moby", `/run/containerd/runc/${MARK}`, "/run/belay", "/run/runc"],
];

/** What the storage of podman and buildah mounts and unmounts when it likes. */
const STORAGE = /\/storage\/overlay$/;

/** A cgroup that is no container's: a parent of all, one that podman keeps for its monitors, BuildKit for its steps. */
const PARENT = /^\/sys\/fs\/cgroup\/[^/]+\/[^/]+(\/conmon|\/buildkit)?$/;

let stages = 0;

/** One stage. Nothing of it is left when it has been disposed of. */
export class Stage implements AsyncDisposable {
  #files = 0;
  readonly #asItWas: readonly string[];

  private constructor(
    readonly dir: string,
    private readonly child: Deno.ChildProcess,
    /** The first process of the pid namespace, as this process sees it. */
    private readonly first: number,
  ) {
    this.#asItWas = this.mounts();
  }

  /** Sets one up. */
  static async open(): Promise<Stage> {
    const dir = `${home}/${++stages}`;
    Deno.mkdirSync(dir);
    const child = new Deno.Command("unshare", {
      // deno-fmt-ignore
      args: ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private",
        "--", "sh", "-c", SET],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
      clearEnv: true,
      env: { PATH },
    }).spawn();
    const reader = child.stdout.getReader();
    const said = await reader.read();
    await reader.cancel();
    if (said.done) throw new Error(`the stage could not be set up: ${(await child.status).code}`);
    const first = await until("the stage has its first process", () => childOf(child.pid));
    return new Stage(dir, child, first);
  }

  /** What enters the stage: words before a program. */
  #enter(timeoutMs: number, env: Readonly<Record<string, string>>): string[] {
    // deno-fmt-ignore
    return ["--target", `${this.first}`, "--mount", "--net", "--pid", "--wdns=/", "--", "env", "-i",
      `PATH=${PATH}`, "HOME=/root", ...Object.entries(env).map(([name, value]) => `${name}=${value}`),
      "timeout", "--foreground", "--kill-after=5", `${timeoutMs / 1000}`];
  }

  /** Runs a program to its end. */
  async run(argv: readonly string[], options: StageOptions = {}): Promise<Ended> {
    const { stdin, env = {}, timeoutMs = 60_000 } = options;
    const base = `${this.dir}/io-${++this.#files}`;
    Deno.writeTextFileSync(`${base}.in`, stdin ?? "");
    // Files, not pipes: a program that is left behind with our pipe would be waited for.
    const child = new Deno.Command("/bin/sh", {
      args: [
        ...["-c", `exec nsenter "$@" <'${base}.in' >'${base}.out' 2>'${base}.err'`, "sh"],
        ...[...this.#enter(timeoutMs, env), ...argv],
      ],
      ...{ stdin: "null", stdout: "null", stderr: "null" },
    }).spawn();
    const { code } = await child.status;
    const [stdout, stderr] = ["out", "err"].map((end) => Deno.readTextFileSync(`${base}.${end}`));
    for (const end of ["in", "out", "err"]) Deno.removeSync(`${base}.${end}`);
    if (code === 124) throw new Error(`took more than ${timeoutMs} ms: ${argv.join(" ")}`);
    return { code, stdout: stdout ?? "", stderr: stderr ?? "" };
  }

  /** As `run`, for what has to work. @throws with what it said, when it did not. */
  async ok(argv: readonly string[], options: StageOptions = {}): Promise<string> {
    const { code, stdout, stderr } = await this.run(argv, options);
    if (code !== 0) {
      throw new Error(`${argv.join(" ")}: exit code ${code}: ${(stderr || stdout).trim()}`);
    }
    return stdout;
  }

  /** Starts a program, which lives until it ends by itself, or with the stage. */
  start(argv: readonly string[], { env = {}, timeoutMs = 3_600_000 }: StageOptions = {}): Actor {
    const base = `${this.dir}/actor-${++this.#files}`;
    Deno.writeTextFileSync(`${base}.log`, "");
    const child = new Deno.Command("/bin/sh", {
      args: [
        ...["-c", `exec nsenter "$@" </dev/null >'${base}.log' 2>&1`, "sh"],
        // The shell becomes the program, whose number in the pid namespace it has noted.
        ...[...this.#enter(timeoutMs, env), "sh", "-c", `echo $$ >'${base}.pid'; exec "$@"`, "sh"],
        ...argv,
      ],
      ...{ stdin: "null", stdout: "null", stderr: "null" },
    }).spawn();
    let running = true;
    const status = child.status.finally(() => running = false);
    const signal = async (name: string) => {
      const pid = await until("it has begun", () => textOf(`${base}.pid`)?.trim());
      if (running) await this.ok(["kill", `-${name}`, pid]);
    };
    return {
      status,
      signal,
      output: () => Deno.readTextFileSync(`${base}.log`),
      end: async (name = "TERM") => {
        await signal(name);
        await status;
      },
    };
  }

  /** Runs a program on a terminal of its own; what was printed there. */
  async onTerminal(argv: readonly string[], options: StageOptions = {}): Promise<Ended> {
    const line = argv.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ");
    const ended = await this.run(["script", "-qec", line, "/dev/null"], options);
    return { ...ended, stdout: ended.stdout.replaceAll("\r\n", "\n") };
  }

  /** The living processes on the stage, but for its own two. */
  processes(): Process[] {
    const own = [this.child.pid, this.first];
    const all = descendants();
    const mine = new Set([this.first]);
    for (let size = 0; size !== mine.size;) {
      size = mine.size;
      for (const { pid, parent } of all) if (mine.has(parent)) mine.add(pid);
    }
    return all.filter(({ pid, parent, name }) =>
      inSamePids(pid, this.first) && !own.includes(pid) &&
      !(parent === this.first && name === "cat")
    );
  }

  /** What may be left behind there, by kind. Cgroups are the machine's: only those with our mark count. */
  census(): Readonly<Record<string, readonly string[]>> {
    return {
      processes: this.processes().map(({ pid, name }) => `${pid} ${name}`).sort(),
      mounts: this.mounts().filter((each) => !this.#asItWas.includes(each) && !STORAGE.test(each))
        .sort(),
      // What a client groups its containers under stays empty behind, with every runtime.
      cgroups: cgroups().filter((path) => !PARENT.test(path)),
      links: [...Deno.readDirSync(this.path("/sys/class/net"))].map(({ name }) => name).sort(),
      states: STATES.flatMap((root) => entries(this.path(root)).map((id) => `${root}/${id}`)),
    };
  }

  /** Fails unless the stage comes to be as it was; what is about to end is waited for. */
  async assertUnchanged(before: ReturnType<Stage["census"]>): Promise<void> {
    const same = () => JSON.stringify(this.census()) === JSON.stringify(before);
    await until("everything is as it was", same).catch(() =>
      assertEquals(this.census(), before, "something was left behind")
    );
  }

  private mounts(): string[] {
    const text = Deno.readTextFileSync(`/proc/${this.first}/mountinfo`);
    return text.split("\n").map((line) => line.split(" ")[4] ?? "");
  }

  /** A path of the stage, as this process reaches it. */
  path(path: string): string {
    return `/proc/${this.first}/root${path}`;
  }

  /** Ends everything on it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.child.stdin.close();
    await this.child.status;
    // What the last process was in can be removed some time after its end.
    await until("the cgroups can be removed", () => {
      const left = cgroups().toReversed();
      for (const path of left) removeCgroup(path);
      return left.length === 0;
    });
    Deno.removeSync(this.dir, { recursive: true });
  }
}

function textOf(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return undefined; // not written yet
  }
}

/** The cgroup directories whose uppermost carries the mark, and all below them; parents first. */
function cgroups(): string[] {
  const below = (path: string): string[] => [
    path,
    ...entries(path, true).flatMap((name) => below(`${path}/${name}`)),
  ];
  return entries("/sys/fs/cgroup", true).flatMap((hierarchy) =>
    entries(`/sys/fs/cgroup/${hierarchy}`, true).filter((name) => name.includes(MARK))
      .flatMap((name) => below(`/sys/fs/cgroup/${hierarchy}/${name}`))
  );
}

function removeCgroup(path: string): void {
  try {
    Deno.removeSync(path);
  } catch {
    // Busy: the next round sees to it.
  }
}

function entries(directory: string, directoriesOnly = false): string[] {
  try {
    return [...Deno.readDirSync(directory)]
      .filter((each) => each.isDirectory || !directoriesOnly).map(({ name }) => name).sort();
  } catch {
    return []; // there is none yet, or no longer
  }
}

function childOf(parent: number): number | undefined {
  return descendants().find((each) => each.parent === parent)?.pid;
}

function inSamePids(one: number, other: number): boolean {
  try {
    return Deno.readLinkSync(`/proc/${one}/ns/pid`) === Deno.readLinkSync(`/proc/${other}/ns/pid`);
  } catch {
    return false; // it has ended
  }
}
