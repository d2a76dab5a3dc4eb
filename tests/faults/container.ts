// The one container of a walk, and belay's commands on it, in this very process.
import { main } from "../../main.ts";
import { Host } from "../../ffi/host.ts";
import { observe } from "../../ffi/observer.ts";
import { reopen } from "../../ffi/identity.ts";
import { seeContainer, type Status } from "../../runtime/container/status.ts";
import { useCarriers } from "../../runtime/commands/host_carriers.ts";
import { defaultSpec } from "../../runtime/spec/default_spec.ts";
import { StateDir } from "../../runtime/state/state_dir.ts";
import { type Deed, type Hit, Injector } from "./injector.ts";
import type { Names, Scenario, Step } from "./scenarios.ts";

/** How a command ended. */
export interface Outcome {
  readonly code: number;
  /** What it told in its log. */
  readonly message: string;
  /** The system calls that it made. */
  readonly calls: number;
  /** Where the fault was injected, if it was. */
  readonly hit: Hit | undefined;
}

/** What came before a command for it to make sense. */
const BEFORE: Readonly<Record<Step, readonly Step[]>> = {
  "create": [],
  "start": ["create"],
  "kill": ["create", "start"],
  "delete": ["create", "start", "kill"],
  "delete --force": ["create", "start"],
  "run": [],
};

export class Container {
  readonly id: string;
  readonly root: string;
  readonly #log: string;
  readonly #bundles: Readonly<Record<"sleep" | "true", string>>;

  constructor(private readonly scenario: Scenario, private readonly names: Names) {
    this.id = names.mark;
    this.root = `${names.home}/state`;
    this.#log = `${names.home}/log`;
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
    scenario.change(spec, this.names);
    Deno.writeTextFileSync(`${bundle}/config.json`, JSON.stringify(spec));
    return bundle;
  }

  /** The command line of a step, without belay's name. */
  args(step: Step): string[] {
    const globals = ["--root", this.root, "--log", this.#log, "--log-format", "json"];
    return [...globals, ...this.#command(step)];
  }

  #command(step: Step): string[] {
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

  /** Runs a step in this process; at call `k`, if not 0, something happens. */
  async run(step: Step, k = 0, deed: Deed = "EIO"): Promise<Outcome> {
    Deno.writeTextFileSync(this.#log, "");
    useCarriers(new Host(this.root)); // a fresh one has not made the stub's memfd yet
    const injector = new Injector(k, deed);
    observe(injector);
    let code;
    try {
      code = await main(this.args(step));
    } finally {
      observe(undefined);
    }
    return { code, message: this.log(), calls: injector.made, hit: injector.hit };
  }

  /** What the last command logged. */
  log(): string {
    const lines = Deno.readTextFileSync(this.#log).split("\n").filter((line) => line !== "");
    return lines.map((line) => {
      const { level, msg } = JSON.parse(line);
      return `${level}: ${msg}`;
    }).join("\n");
  }

  /** Brings the container to where a step makes sense. */
  async prepare(step: Step): Promise<void> {
    for (const each of BEFORE[step]) {
      const { code, message } = await this.run(each);
      if (code !== 0) throw new Error(`${each}, without a fault: ${message}`);
      if (each === "kill") this.waitUntilStopped();
    }
  }

  /** Waits for the container's first process to end. */
  waitUntilStopped(): void {
    const { thread } = new Host(this.root);
    using dir = StateDir.expect(thread, this.root, this.id);
    const { init } = dir.read() ?? {};
    using pidfd = init && reopen(thread, init);
    if (pidfd?.waitSync(10_000) === false) throw new Error("the container does not end");
  }

  /** What the container is; undefined when there is none. */
  status(): Status | undefined {
    const { thread } = new Host(this.root);
    using dir = StateDir.open(thread, this.root, this.id);
    if (dir === undefined) return undefined;
    const { status, init } = seeContainer(thread, dir, dir.read());
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
