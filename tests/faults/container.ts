// A container in its walk: belay's commands on it, in this very process.
import { equal } from "@std/assert";
import { sleep } from "../e2e/census.ts";
import { SIGNAL } from "../../ffi/abi/signals.ts";
import { Host } from "../../ffi/host.ts";
import { reopen } from "../../ffi/identity.ts";
import { unobserved } from "../../ffi/observer.ts";
import type { Pidfd } from "../../ffi/pidfd.ts";
import { listProcesses } from "../../runtime/cgroup/processes.ts";
import { frozen } from "../../runtime/container/frozen.ts";
import { seeContainer, type Status } from "../../runtime/container/status.ts";
import { defaultSpec } from "../../runtime/spec/default_spec.ts";
import type { StateFile } from "../../runtime/state/state_file.ts";
import { StateDir } from "../../runtime/state/state_dir.ts";
import { BEFORE, commandOf, UPDATE, UPDATE_INPUT } from "./container_commands.ts";
import { featuresIn, isWhole, SENDS, STATUS_AFTER } from "./expected.ts";
import { Mailbox } from "./mailbox.ts";
import { type ContainerStep, listenerPath, type Names, type Scenario } from "./scenarios.ts";
import { Subject } from "./subject.ts";

/** How long what is ending may take. */
const PATIENCE_MS = 2000;

/** The one container of a walk. */
export class Container extends Subject {
  readonly id: string;
  readonly warmUp = "run";
  readonly #bundles: Readonly<Record<"sleep" | "true", string>>;
  #features: unknown;
  readonly #mail: Mailbox[] = [];
  readonly #consoles: Mailbox | undefined;
  readonly #pidfds: Mailbox | undefined;

  constructor(private readonly scenario: Scenario, private readonly names: Names) {
    super(names);
    this.id = names.mark;
    const mailbox = (path: string) => {
      const made = new Mailbox(path);
      this.#mail.push(made);
      return made;
    };
    if (scenario.terminal) this.#consoles = mailbox(`${names.home}/console`);
    if (scenario.pidfds) this.#pidfds = mailbox(`${names.home}/pidfd`);
    if (scenario.listener) mailbox(listenerPath(names));
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
    const command = commandOf(step, {
      ...{ id: this.id, bundles: this.#bundles, pidFile: `${this.names.home}/pid` },
      consoleSocket: this.#consoles?.path,
      pidfdSocket: this.#pidfds?.path,
    });
    return [...this.scenario.systemd ? ["--systemd-cgroup"] : [], ...command];
  }

  /** @inheritdoc */
  override input(step: ContainerStep): string {
    return step === "update --resources -" ? UPDATE_INPUT : "";
  }

  /** `events` ends with the container: that ends as soon as there was something to be told. */
  override hears(step: ContainerStep): (() => void) | undefined {
    if (step !== "events") return undefined;
    return () =>
      unobserved(() => {
        using init = this.#init();
        init?.signal(SIGNAL.SIGKILL);
      });
  }

  /** @inheritdoc */
  override async prepare(step: ContainerStep): Promise<void> {
    for (const each of BEFORE[step]) {
      const { code, message } = await this.run(each);
      if (code !== 0) throw new Error(`${each}, without a fault: ${message}`);
      if (each === "kill") this.#waitUntilStopped();
    }
  }

  /** @inheritdoc */
  override async worked(step: ContainerStep, printed: string): Promise<string[]> {
    const problems = this.#after(step) ?? this.#told(step, printed);
    if (problems.length === 0 && step === "create") {
      const { code, message } = await this.run("start");
      if (code !== 0) return [`create succeeded, start then failed: ${message}`];
    }
    return problems.length > 0 ? problems : this.#sent(step);
  }

  /** What is wrong with the container after success; undefined when nothing is. */
  #after(step: ContainerStep): string[] | undefined {
    const wanted = STATUS_AFTER[step];
    if (wanted === "stopped") this.#waitUntilStopped();
    const status = this.status();
    return status === wanted ? undefined : [`${step} succeeded, and the container is ${status}`];
  }

  /** What is wrong with what a command has told. */
  #told(step: ContainerStep, printed: string): string[] {
    const is = () => {
      switch (step) {
        case "update":
        case "update --resources -":
          return equal(this.#limits(), UPDATE.new);
        case "ps":
          return printed.trimEnd().split("\n").length === 2;
        case "ps -f json":
          return equal(JSON.parse(printed), [this.#read()?.init?.pid]);
        case "events":
        case "events --stats":
          return printed !== "" && printed.trimEnd().split("\n").every(isWhole);
        case "state":
          return JSON.parse(printed).status === "running";
        case "list":
          return /^ID .*\n\S+ +\d+ +running .* root\n$/.test(printed);
        case "features":
          return equal(featuresIn(printed), this.#features ??= featuresIn(printed));
      }
      return true;
    };
    return is() ? [] : [`${step} succeeded, and told or did ${printed || "something else"}`];
  }

  /** What is wrong with what has been sent to the sockets of this walk's. */
  #sent(step: ContainerStep): string[] {
    const steps = [...BEFORE[step], step];
    const all = [[this.#consoles, SENDS.console], [this.#pidfds, SENDS.pidfd]] as const;
    return all.flatMap(([mailbox, senders]) => {
      const [callers, wanted] = [mailbox?.empty() ?? 0, steps.filter((s) => senders.has(s)).length];
      return mailbox === undefined || callers === wanted
        ? []
        : [`${callers} senders at ${mailbox.path}, and not ${wanted}`];
    });
  }

  /** @inheritdoc */
  override failed(step: ContainerStep, message: string): string[] {
    const status = this.status();
    if (step === "pause" && status !== "running") {
      return [`pause failed, and the container is ${status}: ${message}`];
    }
    if (step.startsWith("update") && !equal(this.#limits(), UPDATE.old)) {
      return [`update failed, and the limits are ${JSON.stringify(this.#limits())}: ${message}`];
    }
    if ((step !== "create" && step !== "run --detach") || status === undefined) return [];
    return [`${step} failed, and left a container that is ${status}: ${message}`];
  }

  /** @inheritdoc */
  override async cleanUp(): Promise<string[]> {
    const there = this.status() !== undefined;
    const problems = there ? await this.#alone() : [];
    for (const mailbox of this.#mail) mailbox.empty();
    if (!there) return problems;
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
  #limits(): { memory: number; pids: number } {
    const read = (controller: string, file: string) => {
      const directory = this.#read()?.cgroups.find((each) => each.controllers.includes(controller));
      return Number(Deno.readTextFileSync(`${directory?.path}/${file}`));
    };
    return { memory: read("memory", "memory.limit_in_bytes"), pids: read("pids", "pids.max") };
  }

  /** The container's first process, from what is on disk. */
  #init(): Pidfd | undefined {
    const { init } = this.#read() ?? {};
    return init && reopen(new Host(this.root).thread, init);
  }

  #waitUntilStopped(): void {
    using init = this.#init();
    if (init?.waitSync(10_000) === false) throw new Error("the container does not end");
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
