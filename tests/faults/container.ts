// A container in its walk: belay's commands on it, in this very process.
import { sleep } from "../e2e/census.ts";
import { Host } from "../../ffi/host.ts";
import { reopen } from "../../ffi/identity.ts";
import { listProcesses } from "../../runtime/cgroup/cgroup.ts";
import { frozen } from "../../runtime/container/frozen.ts";
import { seeContainer, type Status } from "../../runtime/container/status.ts";
import { defaultSpec } from "../../runtime/spec/default_spec.ts";
import type { StateFile } from "../../runtime/state/state_file.ts";
import { StateDir } from "../../runtime/state/state_dir.ts";
import type { ContainerStep, Names, Scenario } from "./scenarios.ts";
import { Subject } from "./subject.ts";

/** What came before a command for it to make sense. */
const BEFORE: Readonly<Record<ContainerStep, readonly ContainerStep[]>> = {
  "create": [],
  "start": ["create"],
  "kill": ["create", "start"],
  "delete": ["create", "start", "kill"],
  "delete --force": ["create", "start"],
  "run": [],
  "exec": ["create", "start"],
  "exec --tty": ["create", "start"],
  "exec --detach": ["create", "start"],
  "exec --detach --tty": ["create", "start"],
  "ps": ["create", "start"],
  "pause": ["create", "start"],
  "resume": ["create", "start", "pause"],
  "update": ["create", "start"],
};

/** What `update` asks for, and what the container has before. */
const UPDATE = {
  args: ["--memory", "33554432", "--pids-limit", "20"],
  new: ["33554432", "20"],
  old: [String(64 << 20), "50"],
};

/** How long what is ending may take. */
const PATIENCE_MS = 2000;

/** The one container of a walk. */
export class Container extends Subject {
  readonly id: string;
  readonly warmUp = "run";
  readonly #bundles: Readonly<Record<"sleep" | "true", string>>;

  constructor(private readonly scenario: Scenario, private readonly names: Names) {
    super(names);
    this.id = names.mark;
    makeRootfs(`${names.home}/rootfs`);
    this.#bundles = {
      sleep: this.#bundle("sleep", ["/bin/sleep", "1000"], scenario),
      true: this.#bundle("true", ["/bin/true"], scenario),
    };
  }

  #bundle(name: string, args: readonly string[], scenario: Scenario): string {
    const bundle = `${this.names.home}/${name}`;
    Deno.mkdirSync(bundle);
    // deno-lint-ignore no-explicit-any -- JSON
    const spec: any = defaultSpec();
    spec.root.path = `${this.names.home}/rootfs`;
    Object.assign(spec.process, { args, terminal: false });
    scenario.change?.(spec, this.names);
    Deno.writeTextFileSync(`${bundle}/config.json`, JSON.stringify(spec));
    return bundle;
  }

  protected override command(step: ContainerStep): string[] {
    return [...this.scenario.systemd ? ["--systemd-cgroup"] : [], ...this.#command(step)];
  }

  #command(step: ContainerStep): string[] {
    switch (step) {
      case "create": {
        const console = this.scenario.terminal ? ["--console-socket", this.consoleSocket] : [];
        const flags = ["--bundle", this.#bundles.sleep, "--pid-file", this.pidFile, ...console];
        return ["create", ...flags, this.id];
      }
      case "run":
        return ["run", "--bundle", this.#bundles.true, "--pid-file", this.pidFile, this.id];
      case "kill":
        return ["kill", this.id, "KILL"];
      case "update":
        return ["update", ...UPDATE.args, this.id];
      case "exec --detach --tty":
        return [...step.split(" "), "--console-socket", this.consoleSocket, this.id, "/bin/true"];
      case "exec --detach":
        return ["exec", "--detach", "--pid-file", this.pidFile, this.id, "/bin/true"];
      case "exec":
      case "exec --tty":
        return [...step.split(" "), this.id, "/bin/true"];
      default:
        return [...step.split(" "), this.id];
    }
  }

  /** Where somebody waits for terminals, and lets go of them at once. */
  get consoleSocket(): string {
    return `${this.names.home}/console`;
  }

  /** What `--pid-file` names. */
  get pidFile(): string {
    return `${this.names.home}/pid`;
  }

  /** @inheritdoc */
  override async prepare(step: ContainerStep): Promise<void> {
    for (const each of BEFORE[step]) {
      const { code, message } = await this.run(each);
      if (code !== 0) throw new Error(`${each}, without a fault: ${message}`);
      if (each === "kill") this.waitUntilStopped();
    }
  }

  /** @inheritdoc */
  override async worked(step: ContainerStep): Promise<string[]> {
    const status = this.status();
    switch (step) {
      case "create": {
        if (status !== "created") return [`create succeeded, and the container is ${status}`];
        const { code, message } = await this.run("start");
        return code === 0 ? [] : [`create succeeded, start then failed: ${message}`];
      }
      case "start":
      case "exec":
      case "exec --tty":
      case "exec --detach":
      case "exec --detach --tty":
      case "ps":
        return status === "running" ? [] : [`${step} succeeded, and the container is ${status}`];
      case "kill":
        this.waitUntilStopped();
        return [];
      case "pause":
      case "resume": {
        const wanted = step === "pause" ? "paused" : "running";
        return status === wanted ? [] : [`${step} succeeded, and the container is ${status}`];
      }
      case "update":
        return this.#limits() === String(UPDATE.new) ? [] : [`it succeeded: ${this.#limits()}`];
      default:
        return status === undefined ? [] : [`it succeeded, and the container is ${status}`];
    }
  }

  /** @inheritdoc */
  override failed(step: ContainerStep, message: string): string[] {
    const status = this.status();
    if (step === "pause" && status !== "running") {
      return [`pause failed, and the container is ${status}: ${message}`];
    }
    if (step === "update" && this.#limits() !== String(UPDATE.old)) {
      return [`update failed, and the limits are ${this.#limits()}: ${message}`];
    }
    if (step !== "create" || status === undefined) return [];
    return [`create failed, and left a container that is ${status}: ${message}`];
  }

  /** @inheritdoc */
  override async cleanUp(): Promise<string[]> {
    if (this.status() === undefined) return [];
    const problems = await this.#alone();
    const { code, message } = await this.run("delete --force");
    if (code !== 0) problems.push(`delete --force failed: ${message}`);
    if (this.status() !== undefined) problems.push("delete --force left a container");
    return problems;
  }

  /** What an `exec` that was killed half-way began has ended with it, before anybody deletes the container. */
  async #alone(): Promise<string[]> {
    const state = this.#read();
    const [cgroup] = state?.cgroups ?? [];
    if (state?.init === undefined || cgroup === undefined) return [];
    const { thread } = new Host(this.root);
    let left: number[] = [];
    for (let pause = 1; pause < PATIENCE_MS; pause *= 2) {
      left = listProcesses(thread, cgroup.path).filter((pid) => pid !== state.init?.pid);
      if (left.length === 0) return [];
      await sleep(pause);
    }
    return [`beside its first process, the container has ${left.join(", ")}`];
  }

  #read(): StateFile | undefined {
    using dir = StateDir.open(new Host(this.root).thread, this.root, this.id);
    return dir?.read();
  }

  /** The limits of the container's cgroups that `update` changes. */
  #limits(): string {
    const read = (controller: string, file: string) => {
      const place = `/sys/fs/cgroup/${controller}/${this.id}/container/${file}`;
      return Deno.readTextFileSync(place).trim();
    };
    return String([read("memory", "memory.limit_in_bytes"), read("pids", "pids.max")]);
  }

  /** Waits for the container's first process to end. */
  waitUntilStopped(): void {
    const { thread } = new Host(this.root);
    const { init } = this.#read() ?? {};
    using pidfd = init && reopen(thread, init);
    if (pidfd?.waitSync(10_000) === false) throw new Error("the container does not end");
  }

  /** What the container is; undefined when there is none. */
  status(): Status | undefined {
    const { thread } = new Host(this.root);
    using dir = StateDir.open(thread, this.root, this.id);
    if (dir === undefined) return undefined;
    const state = dir.read();
    const { status, init } = seeContainer(thread, dir, state, () => frozen(thread, state));
    init?.[Symbol.dispose]();
    return status;
  }
}

function makeRootfs(rootfs: string): void {
  for (const name of ["bin", "dev", "proc", "sys"]) {
    Deno.mkdirSync(`${rootfs}/${name}`, { recursive: true });
  }
  Deno.copyFileSync("/bin/busybox", `${rootfs}/bin/busybox`);
  for (const name of ["sleep", "true"]) Deno.symlinkSync("busybox", `${rootfs}/bin/${name}`);
}
