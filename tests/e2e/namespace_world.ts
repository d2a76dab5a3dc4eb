// What the tests of namespaces have in common.
import { noFile, type Obstacle } from "../skip.ts";
import type { Bundle } from "./contained.ts";
import { type Running, until } from "./world.ts";

/** The specification's names, and those of /proc/PID/ns. */
export const TYPES = {
  ...{ pid: "pid", network: "net", mount: "mnt", ipc: "ipc", uts: "uts", cgroup: "cgroup" },
  ...{ time: "time", user: "user" },
} as const;
/** One of them. */
export type Type = keyof typeof TYPES;
/** The options of unshare(1). */
export const FLAGS: Record<Type, string> = {
  ...{ pid: "-p", network: "-n", mount: "-m", ipc: "-i", uts: "-u", cgroup: "-C", time: "-T" },
  user: "-U",
};

/** Whether there are time namespaces. */
export const noTime: Obstacle = noFile("/proc/self/ns/time");

/** A namespace of a process, as `net:[4026531840]`. */
export function namespaceOf(type: Type, pid: number | "self" = "self"): string {
  return Deno.readLinkSync(`/proc/${pid}/ns/${TYPES[type]}`);
}

/** What the container says that its namespace is. */
export function seenInside(bundle: Bundle, type: Type): Promise<string> {
  return bundle.ok(["readlink", `/proc/self/ns/${TYPES[type]}`]);
}

/** What it has printed, also before the shell has made the file. */
export function printed(running: Running): string {
  try {
    return running.stdout();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  }
}

/** A process with namespaces of its own, until the end of the block. */
export class Holder implements AsyncDisposable {
  private constructor(private readonly running: Running, readonly pid: number) {}

  /** @param script What it runs before it sleeps. */
  static async start(bundle: Bundle, flags: readonly string[], script = ""): Promise<Holder> {
    const running = bundle.world.start(
      ["unshare", ...flags, "bash", "-c", `${script}\necho ready; exec sleep 1000`],
    );
    await until("the holder of namespaces", () => printed(running).includes("ready\n"));
    if (flags.includes("-U")) {
      for (const kind of ["uid", "gid"]) {
        Deno.writeTextFileSync(`/proc/${running.pid}/${kind}_map`, "0 100000 65536\n");
      }
    }
    // unshare --fork leaves its child in the namespaces.
    const forks = flags.includes("--fork");
    const child = Deno.readTextFileSync(`/proc/${running.pid}/task/${running.pid}/children`);
    return new Holder(running, forks ? Number(child) : running.pid);
  }

  /** The path of one of its namespaces. */
  path(type: Type): string {
    return `/proc/${this.pid}/ns/${TYPES[type]}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    Deno.kill(this.pid, "SIGKILL");
    await this.running.ended;
  }
}
