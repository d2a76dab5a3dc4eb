// dockerd on a stage, with two runtimes.
import { MARK, until } from "../e2e/census.ts";
import { noFile, noProgram, notRoot, type Obstacle } from "../skip.ts";
import { BELAY, type Contestant, RUNC } from "./checks.ts";
import { Cli, type CliOptions } from "./cli.ts";
import { makeRootfsTar } from "./image.ts";
import type { Actor, Stage } from "./stage.ts";

/** How long a daemon may take to answer, or to end. */
const PATIENCE_MS = 60_000;

/** What a test with dockerd needs. */
export function dockerObstacles(): Obstacle[] {
  return [
    ...[notRoot(), noFile("/usr/bin/docker"), noFile(RUNC.path)],
    ...[noProgram("dockerd", "docker.io"), noProgram("tini"), noProgram("iptables")],
    noProgram("ctr", "containerd"),
  ];
}

/** docker's command line, and what of the daemon a check may change. */
export class DockerCli extends Cli {
  constructor(options: CliOptions, readonly daemon: Dockerd) {
    super(options);
  }
}

/** A dockerd that answers. */
export class Dockerd implements AsyncDisposable {
  private constructor(
    readonly stage: Stage,
    readonly dir: string,
    private readonly actor: Actor,
    private readonly runtimes: readonly Contestant[],
  ) {}

  /** Starts one. @param flags More of them for dockerd. @param runtimes What it is to know. */
  static async start(
    stage: Stage,
    flags: readonly string[] = [],
    runtimes: readonly Contestant[] = [BELAY, RUNC],
  ): Promise<Dockerd> {
    const dir = Deno.makeTempDirSync({ dir: stage.dir, prefix: "docker-" });
    Deno.chmodSync(dir, 0o755); // remapped users pass through it
    Deno.mkdirSync(`${dir}/bin`);
    // BuildKit executes `runc`, from PATH. Which one that is is changed by `useInBuilds()`.
    Deno.symlinkSync(RUNC.path, `${dir}/bin/runc`);
    Deno.mkdirSync(stage.path("/etc/docker"), { recursive: true });
    configure(stage, runtimes, RUNC.name);
    const actor = stage.start([
      ...["sh", "-c", `export PATH=${dir}/bin:$PATH; exec "$@"`, "sh"],
      ...["dockerd", "--data-root", `${dir}/data`, "--exec-root", "/run/docker"],
      ...["--pidfile", "/run/docker.pid", "--host", "unix:///run/docker.sock"],
      ...["--config-file", "/etc/docker/daemon.json", "--cgroup-parent", `/${MARK}-docker`],
      ...flags,
    ]);
    const daemon = new Dockerd(stage, dir, actor, runtimes);
    let ended: Deno.CommandStatus | undefined;
    actor.status.then((status) => ended = status);
    const deadline = Date.now() + PATIENCE_MS;
    while ((await stage.run(daemon.docker("version"))).code !== 0) {
      if (ended !== undefined || Date.now() > deadline) {
        throw new Error(`dockerd does not answer: ${actor.output().slice(-2000)}`);
      }
    }
    const tar = await makeRootfsTar(dir);
    await stage.ok(daemon.docker("import", tar, "bb:local"));
    Deno.removeSync(tar);
    // What the daemon mounts for its first container, and keeps.
    for (const flags of [["--userns", "host", "--network", "host"], []]) {
      await stage.ok(daemon.docker("run", "--rm", ...flags, "bb:local", "true"));
    }
    return daemon;
  }

  /** A command line of docker's. Debian's docker, whatever else is on PATH: it is of the daemon's version. */
  docker(...args: readonly string[]): string[] {
    return ["/usr/bin/docker", "--host", "unix:///run/docker.sock", ...args];
  }

  /** What drives it with a runtime. */
  cli({ name }: Contestant): DockerCli {
    return new DockerCli({
      stage: this.stage,
      client: "docker",
      runtime: name,
      words: this.docker(),
      runFlags: ["--runtime", nameInDocker(name)],
    }, this);
  }

  /** Makes BuildKit use a runtime. */
  useInBuilds(runtime: string): void {
    Deno.removeSync(`${this.dir}/bin/runc`);
    Deno.symlinkSync(runtime === RUNC.name ? RUNC.path : BELAY.path, `${this.dir}/bin/runc`);
  }

  /** Makes a runtime the one that containers get which ask for none: a reload of the configuration. */
  async useByDefault(runtime: string): Promise<void> {
    configure(this.stage, this.runtimes, runtime);
    await this.actor.signal("HUP");
    const now = () => this.stage.ok(this.docker("info", "--format", "{{.DefaultRuntime}}"));
    await until(
      `${runtime} is the default`,
      async () => (await now()).trim() === nameInDocker(runtime),
    );
  }

  /** What it has printed. */
  log(): string {
    return this.actor.output();
  }

  /** Stops it as an init system does, and waits for it and for all that it had started. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.actor.end();
    await until("dockerd's processes have ended", () => this.stage.processes().length === 0);
    // The bridge outlives dockerd, runc or not.
    await this.stage.run(["ip", "link", "delete", "docker0"]);
  }
}

/** `runc` is reserved for what PATH finds by that name. */
function nameInDocker(runtime: string): string {
  return runtime === RUNC.name ? "stock" : runtime;
}

/** Writes the daemon's configuration, as docs/clients/docker.md says. */
function configure(
  stage: Stage,
  runtimes: readonly Contestant[],
  defaultRuntime: string,
): void {
  Deno.writeTextFileSync(
    stage.path("/etc/docker/daemon.json"),
    JSON.stringify({
      "runtimes": Object.fromEntries(
        runtimes.map(({ name, path }) => [nameInDocker(name), { path }]),
      ),
      "default-runtime": nameInDocker(defaultRuntime),
    }),
  );
}
