import { capture, type Finished } from "../step.ts";
import type { Screen } from "./screen.ts";

/** How a command ended, what it printed, and how long it took. */
export interface Timed extends Finished {
  readonly ms: number;
}

/** Where the demo plays: belay, a scratch directory, and what has been promised and kept so far. */
export class Stage {
  /** belay's state root here: /run/belay of real containers is left alone. */
  readonly stateRoot: string;
  #kept = 0;
  #broken = 0;

  /**
   * @param belay The executable.
   * @param scratch An empty directory; whoever made it removes it.
   */
  constructor(readonly screen: Screen, readonly belay: string, readonly scratch: string) {
    this.stateRoot = `${scratch}/state`;
  }

  /** The words of a belay command, for those who start it themselves. */
  words(...args: readonly string[]): string[] {
    return [this.belay, "--root", this.stateRoot, ...args];
  }

  /** Runs belay in a bundle, silently. */
  async quietly(bundle: string, ...args: readonly string[]): Promise<Timed> {
    // Into files: a container that goes on has these descriptors, too, and would keep pipes open.
    const [out, err] = [`${this.scratch}/stdout`, `${this.scratch}/stderr`];
    const redirect = ["sh", "-c", `exec "$@" >${out} 2>${err}`, "sh"];
    const start = performance.now();
    const { code } = await capture([...redirect, ...this.words(...args)], {
      cwd: bundle,
      timeoutMs: 30_000,
    });
    const ms = performance.now() - start;
    const [stdout, stderr] = [await Deno.readTextFile(out), await Deno.readTextFile(err)];
    await Promise.all([Deno.remove(out), Deno.remove(err)]);
    return { code, stdout, stderr, ms };
  }

  /** Shows a command of belay, runs it in a bundle, and shows what it printed. */
  async show(bundle: string, ...args: readonly string[]): Promise<Timed> {
    const ended = await this.quietly(bundle, ...args);
    this.report(["belay", ...args], ended);
    return ended;
  }

  /** Shows a command that prints a table: its columns are set anew, because shown paths are shorter. */
  async showTable(bundle: string, ...args: readonly string[]): Promise<void> {
    const ended = await this.quietly(bundle, ...args);
    this.report(["belay", ...args], { ...ended, stdout: "" });
    this.screen.table(
      ended.stdout.trim().split("\n").map((line) => this.readable(line).split(/ {3,}/)),
    );
  }

  /** Shows a command that was run, and its output. */
  report(words: readonly string[], { code, stdout, stderr, ms }: Timed): void {
    const exit = code === 0 ? "" : `exit code ${code}, `;
    this.screen.command(words.join(" "), `${exit}${ms.toFixed(0)} ms`);
    this.screen.output(this.readable(stdout));
    this.screen.output(this.readable(stderr), "yellow");
  }

  /** The scratch directory's name says nothing to anybody. */
  readable(text: string): string {
    return text.replaceAll(this.scratch, "…").trim();
  }

  /** Something that takes longer than a second: a line that says how far it is, where it can be overwritten. */
  async step(title: string, work: (progress: (done: number) => void) => Promise<void>) {
    const { screen } = this;
    screen.begin(title);
    await work((done) => screen.progress(title, done));
    screen.end(title);
  }

  /** Says whether something that was promised is so. */
  expect(good: boolean, text: string): void {
    if (good) this.#kept++;
    else this.#broken++;
    this.screen.verdict(good, text);
  }

  /** How many expectations were met, and how many not. */
  get score(): { readonly kept: number; readonly broken: number } {
    return { kept: this.#kept, broken: this.#broken };
  }
}
