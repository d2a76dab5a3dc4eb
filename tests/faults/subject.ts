import { main } from "../../main.ts";
import { Host } from "../../ffi/host.ts";
import { observe } from "../../ffi/observer.ts";
import { useCarriers } from "../../runtime/commands/host_carriers.ts";
import { type Deed, type Hit, Injector } from "./injector.ts";
import type { Names, Step } from "./scenarios.ts";
import { Streams } from "./streams.ts";

/** How a command ended. */
export interface Outcome {
  readonly code: number;
  /** What it told in its log. */
  readonly message: string;
  /** What it printed by itself; what its programs print is not seen here. */
  readonly printed: string;
  /** The system calls that it made. */
  readonly calls: number;
  /** Where the fault was injected, if it was. */
  readonly hit: Hit | undefined;
}

/** What the commands of a walk are about: one container, or one name. */
export abstract class Subject {
  /** The state root. */
  readonly root: string;
  readonly #log: string;

  constructor(names: Names) {
    this.root = `${names.home}/state`;
    this.#log = `${names.home}/log`;
  }

  /** The step that makes Deno open whatever it opens once. */
  abstract readonly warmUp: Step;
  /** A step's command and its arguments. */
  protected abstract command(step: Step): string[];
  /** Brings it to where a step makes sense. */
  abstract prepare(step: Step): Promise<void>;
  /** What is wrong after success in spite of an error: it must be a whole one. */
  abstract worked(step: Step, printed: string): string[] | Promise<string[]>;
  /** What is wrong after a failure: what must not have been left. */
  abstract failed(step: Step, message: string): string[];
  /** The exit code of a command at whose call a fault was injected; undefined for the step's usual one. */
  failureCode(_hit: Hit | undefined): number | undefined {
    return undefined;
  }
  /** What a step reads from standard input. */
  input(_step: Step): string {
    return "";
  }
  /** What is to happen when a step has printed something; undefined for nothing. */
  hears(_step: Step): (() => void) | undefined {
    return undefined;
  }
  /** Takes away what can be seen, as a user would; what is wrong with that. */
  abstract cleanUp(): Promise<string[]>;

  /** The command line of a step, without belay's name. */
  args(step: Step): string[] {
    const globals = ["--root", this.root, "--log", this.#log, "--log-format", "json"];
    return [...globals, ...this.command(step)];
  }

  /** Runs a step in this process; at call `k`, if not 0, something happens. */
  async run(step: Step, k = 0, deed: Deed = "EIO"): Promise<Outcome> {
    Deno.writeTextFileSync(this.#log, "");
    useCarriers(new Host(this.root)); // a fresh one has not made the stub's memfd yet
    const injector = new Injector(k, deed);
    using streams = new Streams(this.input(step), this.hears(step) ?? (() => {}));
    observe(injector);
    let code;
    try {
      code = await main(this.args(step));
    } finally {
      observe(undefined);
    }
    const { made: calls, hit } = injector;
    return { code, message: this.log(), printed: streams.printed, calls, hit };
  }

  /** What the last command logged. */
  log(): string {
    const lines = Deno.readTextFileSync(this.#log).split("\n").filter((line) => line !== "");
    return lines.map((line) => {
      const { level, msg } = JSON.parse(line);
      return `${level}: ${msg}`;
    }).join("\n");
  }
}
