// containerd on a stage, driven by ctr: the shim calls the runtime as it does for Kubernetes.
import type { Ended } from "../e2e/belay.ts";
import { MARK, until } from "../e2e/census.ts";
import { noFile, noProgram, notRoot, type Obstacle } from "../skip.ts";
import { type Contestant, RUNC } from "./checks.ts";
import { makeImageArchive, makeRootfsTar } from "./image.ts";
import type { Actor, Stage, StageOptions } from "./stage.ts";

const IMAGE = "docker.io/library/bb:local";
const ADDRESS = "/run/containerd/containerd.sock";

/** What a test with containerd needs. */
export function containerdObstacles(): Obstacle[] {
  return [
    ...[notRoot(), noFile(RUNC.path), noProgram("tini")],
    ...[noProgram("containerd"), noProgram("ctr", "containerd")],
  ];
}

/** A containerd that answers. */
export class Containerd implements AsyncDisposable {
  private constructor(
    readonly stage: Stage,
    private readonly actor: Actor,
  ) {}

  /** Starts one. */
  static async start(stage: Stage): Promise<Containerd> {
    const dir = Deno.makeTempDirSync({ dir: stage.dir, prefix: "containerd-" });
    Deno.writeTextFileSync(
      `${dir}/config.toml`,
      `version = 2\nroot = "${dir}/root"\nstate = "/run/containerd"\n` +
        `disabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\n  address = "${ADDRESS}"\n`,
    );
    const actor = stage.start(["containerd", "--config", `${dir}/config.toml`]);
    const daemon = new Containerd(stage, actor);
    await until(
      "containerd answers",
      async () => (await stage.run(daemon.ctr("version"))).code === 0,
    ).catch(() => {
      throw new Error(`containerd does not answer: ${actor.output().slice(-2000)}`);
    });
    const tar = await makeRootfsTar(dir);
    const image = await makeImageArchive(dir, tar, IMAGE);
    await stage.ok(daemon.ctr("image", "import", image));
    Deno.removeSync(tar);
    Deno.removeSync(image);
    return daemon;
  }

  /** A command line of ctr's; the namespace carries the mark, so that the cgroups do. */
  ctr(...args: readonly string[]): string[] {
    return ["ctr", "--address", ADDRESS, "--namespace", MARK, ...args];
  }

  /** What drives it with a runtime. */
  cli(runtime: Contestant): Ctr {
    return new Ctr(this, runtime);
  }

  /** Stops it, and waits for it and for all that it had started. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.actor.end();
    await until("containerd's processes have ended", () => this.stage.processes().length === 0);
  }
}

let count = 0;

/** ctr, with one runtime. */
export class Ctr {
  readonly stage: Stage;

  constructor(private readonly daemon: Containerd, private readonly runtime: Contestant) {
    this.stage = daemon.stage;
  }

  /** An id that nobody else has. */
  id(): string {
    return `${MARK}-${this.runtime.name}-${++count}`;
  }

  /** Any command. */
  try(args: readonly string[], options: StageOptions = {}): Promise<Ended> {
    return this.stage.run(this.daemon.ctr(...args), options);
  }

  /** Starts any command. */
  start(args: readonly string[]): Actor {
    return this.stage.start(this.daemon.ctr(...args));
  }

  /** Any command that has to work; what it printed, trimmed. */
  async ok(...args: readonly string[]): Promise<string> {
    return (await this.stage.ok(this.daemon.ctr(...args))).trim();
  }

  /** The arguments of a `run`. */
  args(id: string, flags: readonly string[], command: readonly string[]): string[] {
    return ["run", "--runc-binary", this.runtime.path, ...flags, IMAGE, id, ...command];
  }

  /** `run --rm` to its end. */
  run(
    flags: readonly string[],
    command: readonly string[],
    options: StageOptions = {},
  ): Promise<Ended> {
    return this.try(this.args(this.id(), ["--rm", ...flags], command), options);
  }

  /** The same with a config.json, whose command is replaced. */
  runSpec(
    spec: { readonly process: { args: readonly string[] } },
    command: readonly string[],
  ): Promise<Ended> {
    const file = Deno.makeTempFileSync({ dir: this.stage.dir });
    const process = { ...spec.process, args: command };
    Deno.writeTextFileSync(file, JSON.stringify({ ...spec, process }));
    return this.try(
      ["run", "--rm", "--runc-binary", this.runtime.path, "--config", file, this.id()],
    );
  }

  /** As `run`, for what has to work; what it printed, trimmed. */
  async output(flags: readonly string[], command: readonly string[]): Promise<string> {
    return await this.ok(...this.args(this.id(), ["--rm", ...flags], command));
  }

  /** A `run --rm` on a terminal. */
  onTerminal(args: readonly string[]): Promise<Ended> {
    return this.stage.onTerminal(this.daemon.ctr(...args));
  }

  /** Runs `work` beside a container in the background, and removes that; it gets the id. */
  async beside<T>(
    flags: readonly string[],
    command: readonly string[],
    work: (id: string) => Promise<T>,
  ): Promise<T> {
    const id = this.id();
    try {
      await this.ok(...this.args(id, ["--detach", ...flags], command));
      return await work(id);
    } finally {
      await this.try(["task", "delete", "--force", id]);
      await this.try(["container", "delete", id]);
    }
  }

  /** The state of a container's task, as `task ls` names it. */
  async status(id: string): Promise<string | undefined> {
    const line = (await this.ok("task", "ls")).split("\n").find((each) =>
      each.startsWith(`${id} `)
    );
    return line?.trim().split(/\s+/)[2];
  }
}
