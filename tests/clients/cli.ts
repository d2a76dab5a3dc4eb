// docker's command line, which is also podman's: one runtime, and containers that are named after it.
import type { Ended } from "../e2e/belay.ts";
import { MARK, until } from "../e2e/census.ts";
import type { Stage, StageOptions } from "./stage.ts";

/** What a command line is driven with. */
export interface CliOptions {
  readonly stage: Stage;
  readonly client: "docker" | "podman";
  readonly runtime: string;
  /** The client and its global flags. */
  readonly words: readonly string[];
  /** The flags of each `run`. */
  readonly runFlags: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Flags of `run` for a container with a network of its own, when that is not the default. */
  readonly network?: readonly string[];
}

let count = 0;

/** Runs docker or podman on a stage. */
export class Cli {
  readonly stage: Stage;
  readonly client: "docker" | "podman";
  readonly runtime: string;

  constructor(private readonly options: CliOptions) {
    ({ stage: this.stage, client: this.client, runtime: this.runtime } = options);
  }

  /** A name for a container that nobody else has. */
  name(): string {
    return `${MARK}-${this.runtime}-${++count}`;
  }

  /** The whole command line. */
  argv(...args: readonly string[]): string[] {
    return [...this.options.words, ...args];
  }

  /** Any command. */
  try(args: readonly string[], options: StageOptions = {}): Promise<Ended> {
    return this.stage.run(this.argv(...args), { ...this.#env, ...options });
  }

  /** Any command that has to work; what it printed, trimmed. */
  async ok(...args: readonly string[]): Promise<string> {
    return (await this.stage.ok(this.argv(...args), this.#env)).trim();
  }

  /** `run --rm FLAGS IMAGE COMMAND...` to its end. */
  run(
    flags: readonly string[],
    command: readonly string[],
    options: StageOptions = {},
  ): Promise<Ended> {
    return this.try(["run", "--rm", ...this.flags(flags), "bb:local", ...command], options);
  }

  /** As `run`, for what has to work; what it printed, trimmed. */
  async output(flags: readonly string[], command: readonly string[]): Promise<string> {
    return await this.ok("run", "--rm", ...this.flags(flags), "bb:local", ...command);
  }

  /** The same on a terminal. */
  onTerminal(args: readonly string[], options: StageOptions = {}): Promise<Ended> {
    return this.stage.onTerminal(this.argv(...args), { ...this.#env, ...options });
  }

  /** The flags of a `run`. */
  flags(flags: readonly string[]): string[] {
    const network = flags.includes("--network") ? [] : this.options.network ?? [];
    return [...this.options.runFlags, ...network, ...flags];
  }

  /** Runs `work` beside a container that runs in the background, and removes that; it gets the name. */
  async beside<T>(
    flags: readonly string[],
    command: readonly string[],
    work: (name: string) => Promise<T>,
  ): Promise<T> {
    const name = this.name();
    try {
      await this.ok("run", "-d", "--name", name, ...this.flags(flags), "bb:local", ...command);
      return await work(name);
    } finally {
      await this.try(["rm", "-f", "-v", name]);
    }
  }

  /** A field of a container, by a Go template. */
  inspect(name: string, template: string): Promise<string> {
    return this.ok("inspect", "--format", template, name);
  }

  /** Waits until a container has printed something. */
  async waitForLog(name: string, text: string): Promise<void> {
    await until(`${name} prints ${text}`, async () => {
      const { stdout, stderr } = await this.try(["logs", name]);
      return (stdout + stderr).includes(text);
    });
  }

  get #env(): StageOptions {
    return this.options.env === undefined ? {} : { env: this.options.env };
  }
}
