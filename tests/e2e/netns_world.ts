// A private mount namespace with a fresh /run, in which belay and ip make network namespaces with names: the machine's
// own /run/netns is never touched, and what is made ends with the last process in it.
import { belayPath, type Ended } from "./belay.ts";
import type { Options, Running, World } from "./world.ts";

/** What /run is there: where mount events go. */
export type Propagation = "private" | "shared";

/** The counts that tell whether anything was lost or doubled. */
export interface NetnsCensus {
  /** Mounts on the directory itself. */
  readonly directory: number;
  /** Mounts of namespaces, by name. */
  readonly mounts: Readonly<Record<string, number>>;
  /** Entries of the directory. */
  readonly entries: readonly string[];
  /** Lines of mountinfo in all. */
  readonly lines: number;
}

const DIRECTORY = "/run/netns";
/** How long a test may take. */
const LONGEST_MS = 600_000;

/** A shell that holds the mount namespace; scripts enter it. */
export class NetnsWorld {
  private constructor(
    private readonly world: World,
    private readonly holder: Running,
    private readonly net: boolean,
  ) {}

  /** Makes it, with a network namespace of its own on demand. It ends with `end()`, or when the test does. */
  static async start(
    world: World,
    propagation: Propagation = "private",
    { net = false }: { readonly net?: boolean } = {},
  ): Promise<NetnsWorld> {
    const setUp = [
      "mount --make-rprivate /",
      "mount -t tmpfs -o mode=755 tmpfs /run",
      ...(propagation === "shared" ? ["mount --make-shared /run"] : []),
      ...(net ? ["ip link set lo up"] : []),
      "echo ready",
      "exec sleep 1000",
    ].join(" && ");
    const apart = ["unshare", "--mount", ...(net ? ["--net"] : [])];
    const holder = world.start([...apart, "sh", "-c", setUp], { timeoutMs: LONGEST_MS });
    const deadline = Date.now() + 20_000;
    while (holder.stdout() !== "ready\n") {
      if (Date.now() > deadline) throw new Error(`no mount namespace: ${holder.stderr()}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return new NetnsWorld(world, holder, net);
  }

  /** Starts a program in it. */
  start(argv: readonly string[], options: Options = {}): Running {
    return this.world.start([...this.entering, ...argv], options);
  }

  /** Runs `belay netns` to its end. */
  netns(args: readonly string[], options: Options = {}): Promise<Ended> {
    return this.start([belayPath, "--root", this.world.root, "netns", ...args], options).ended;
  }

  /** As `netns`, for what has to work. @throws with what it said, when it did not. */
  async ok(args: readonly string[], options: Options = {}): Promise<Ended> {
    const ended = await this.netns(args, options);
    if (ended.code !== 0) {
      throw new Error(`belay netns ${args.join(" ")}: ${JSON.stringify(ended)}`);
    }
    return ended;
  }

  /** Runs a bash script, to which `belay` is the executable. @throws with what it said, when it fails. */
  async script(text: string, options: Options = {}): Promise<Ended> {
    const head = `belay() { "$BELAY" --root "$ROOT" "$@"; }\n`;
    const env = { BELAY: belayPath, ROOT: this.world.root, ...options.env };
    const ended = await this.start(["bash", "-c", head + text], { ...options, env }).ended;
    if (ended.code !== 0) throw new Error(`${text}: ${JSON.stringify(ended)}`);
    return ended;
  }

  /** Counts. */
  census(): NetnsCensus {
    const lines = this.mountinfo();
    const points = lines.map((line) => line.split(" ")[4] ?? "");
    const mounts: Record<string, number> = {};
    for (const point of points) {
      if (!point.startsWith(`${DIRECTORY}/`)) continue;
      const name = point.slice(DIRECTORY.length + 1);
      mounts[name] = (mounts[name] ?? 0) + 1;
    }
    return {
      directory: points.filter((point) => point === DIRECTORY).length,
      mounts,
      entries: this.entries(),
      lines: lines.length,
    };
  }

  /** Its mounts. */
  mountinfo(): string[] {
    return Deno.readTextFileSync(`/proc/${this.holder.pid}/mountinfo`).trimEnd().split("\n");
  }

  /** What is in the directory. */
  entries(): string[] {
    try {
      return [...Deno.readDirSync(this.path())].map(({ name }) => name).sort();
    } catch {
      return []; // there is no directory yet
    }
  }

  /** A path to something in it, from outside. */
  path(inside = DIRECTORY): string {
    return `/proc/${this.holder.pid}/root${inside}`;
  }

  /** Ends it. */
  async end(): Promise<void> {
    this.holder.signal("SIGKILL");
    await this.holder.ended;
  }

  /** What stands before a command line to enter it. */
  get entering(): readonly string[] {
    const { pid } = this.holder;
    const net = this.net ? [`--net=/proc/${pid}/ns/net`] : [];
    return ["nsenter", `--mount=/proc/${pid}/ns/mnt`, ...net, "--wd=/", "--"];
  }
}
