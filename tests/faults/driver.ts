// Walks points of one scenario, in a process of its own: injected errors in this very process, kills in children. What it
// finds goes to standard output, one JSON object a line.
import type { ErrnoName } from "../../ffi/abi/errno.ts";
import { type Census, census, cgroupDirectories, descendants, MARK, sleep } from "../e2e/census.ts";
import { Container } from "./container.ts";
import { type Deed, ERRNOS, type Hit } from "./injector.ts";
import { children, closeImages, difference, reap } from "./housekeeping.ts";
import { NetnsName } from "./netns_name.ts";
import { UsernsPin } from "./userns_pin.ts";
import { type Names, type Scenario, SCENARIOS, type Step } from "./scenarios.ts";
import type { Outcome, Subject } from "./subject.ts";
import { RECORD } from "./record.ts";
import { silent } from "./tolerated.ts";
import { unclear } from "./unclear.ts";

/** What to walk. */
export interface Walk {
  readonly scenario: string;
  readonly step: Step;
  readonly mode: "errors" | "kills";
  /** A directory for everything. */
  readonly home: string;
  /** Which error, or whether at all, comes at which call. */
  readonly seed: number;
  /** Every error at every call; every kill. */
  readonly all: boolean;
  /** Of the calls, one of so many is walked. */
  readonly stride: number;
  /** This one point alone. */
  readonly only?: { readonly k: number; readonly deed: Deed };
}

/** What became of one point. */
export interface Report {
  readonly k: number;
  readonly deed: Deed;
  readonly hit?: Hit | undefined;
  /** The command succeeded in spite of it. */
  readonly tolerated?: boolean;
  /** What is wrong. */
  readonly problems?: readonly string[];
}

/** The last line. */
export interface Sum {
  readonly calls: number;
  readonly points: number;
  readonly ms: number;
}

const PATIENCE_MS = 2000;
const SETTLING_MS = 30;

/** Walks. */
export async function walk(what: Walk): Promise<void> {
  const start = performance.now();
  const walker = await Walker.start(what);
  const calls = await walker.count();
  let points = 0;
  for await (const report of walker.points(calls)) {
    points++;
    tell(report);
  }
  tell({ calls, points, ms: Math.round(performance.now() - start) } satisfies Sum);
  walker.remove();
}

class Walker {
  #before: Census | undefined;

  private constructor(private readonly what: Walk, private readonly subject: Subject) {}

  static async start(what: Walk): Promise<Walker> {
    const scenario = SCENARIOS.find(({ name }) => name === what.scenario);
    if (scenario === undefined) throw new Error(`no scenario ${what.scenario}`);
    const home = `${what.home}/${MARK}`;
    Deno.mkdirSync(home);
    openSignals();
    const subject = makeSubject(scenario, { mark: MARK, home });
    const walker = new Walker(what, subject);
    await walker.#clean(subject.warmUp); // what Deno opens once and keeps is open from here on
    walker.#before = await walker.#settled();
    return walker;
  }

  /** Does the step without a fault; how many calls it makes. */
  async count(): Promise<number> {
    return (await this.#clean(this.what.step)).calls;
  }

  async #clean(step: Step): Promise<Outcome> {
    await this.subject.prepare(step);
    const outcome = await this.subject.run(step);
    if (outcome.code !== 0) throw new Error(`${step}, without a fault: ${outcome.message}`);
    const problems = await this.subject.worked(step, outcome.printed);
    problems.push(...await this.subject.cleanUp());
    if (problems.length > 0) throw new Error(`${step}, without a fault: ${problems.join("; ")}`);
    await this.#reapAll();
    return outcome;
  }

  async *points(calls: number): AsyncGenerator<Report> {
    const { only, all, seed, stride, mode } = this.what;
    if (only !== undefined) {
      yield await this.#point(only.k, only.deed);
      return;
    }
    for (let k = 1;; k++) {
      if (!all && (k + seed) % stride !== 0) continue;
      if (mode === "kills") {
        const report = await this.#point(k, "kill");
        if (report.hit === undefined && k > calls) return;
        yield report;
        continue;
      }
      const errnos: ErrnoName[] = all ? [...ERRNOS] : [
        ERRNOS[Math.floor((k + seed) / stride) % ERRNOS.length] ?? "EIO",
      ];
      for (const errno of errnos) {
        const report = await this.#point(k, errno);
        if (report.hit === undefined && k > calls) return;
        yield report;
      }
    }
  }

  async #point(k: number, deed: Deed): Promise<Report> {
    tell({ at: { k, deed } });
    const { step } = this.what;
    await this.subject.prepare(step);
    const problems: string[] = [];
    if (deed === "kill") {
      const killed = await this.#kill(k);
      if (typeof killed === "string") problems.push(killed);
      problems.push(...await this.#afterwards());
      const hit = { executor: "", call: "", shown: "" };
      return { k, deed, ...(killed === true ? { hit } : {}), problems };
    }
    const outcome = await this.subject.run(step, k, deed);
    const { hit, code } = outcome;
    if (hit !== undefined) {
      if (code === 0) {
        problems.push(...silent(hit, deed, outcome.message));
        problems.push(...await this.subject.worked(step, outcome.printed));
      } else problems.push(...this.#failed(outcome, deed));
    }
    problems.push(...await this.#afterwards());
    return { k, deed, hit, tolerated: hit !== undefined && code === 0, problems };
  }

  /** Belay in a process of its own, killed at call k. False when it made fewer calls. */
  async #kill(k: number): Promise<boolean | string> {
    const { step } = this.what;
    const heard = this.subject.hears(step);
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--allow-all", "--no-lock", "--no-check", "--quiet", Deno.mainModule]
        .concat(this.subject.args(step)),
      env: { BELAY_FAULT: JSON.stringify({ k, do: "kill" }) },
      ...{ stdin: "piped", stderr: "null" } as const,
      // Not where a program may keep it open that goes on without belay.
      stdout: heard === undefined ? "null" : "piped",
    }).spawn();
    const timer = setTimeout(() => child.kill("SIGTERM"), 20_000);
    const given = this.#give(child, this.subject.input(step));
    if (heard !== undefined) { for await (const _ of child.stdout) heard(); }
    const { code, signal } = await child.status;
    await given;
    clearTimeout(timer);
    if (signal === "SIGKILL") return true;
    if (signal !== null) return "belay hung";
    return code === 0 ? false : `belay failed: ${this.subject.log()}`;
  }

  async #give(child: Deno.ChildProcess, input: string): Promise<void> {
    const writer = child.stdin.getWriter();
    try {
      await writer.write(new TextEncoder().encode(input));
      await writer.close();
    } catch (error) {
      // It was killed before it has read.
      if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
    }
  }

  #failed({ message, code, hit }: Outcome, errno: ErrnoName): string[] {
    const problems: string[] = [];
    const expected = this.subject.failureCode(hit) ?? failureOf(this.what.step);
    if (code !== expected) problems.push(`exit code ${code}`);
    if (hit !== undefined) problems.push(...unclear(message, hit, errno));
    problems.push(...this.subject.failed(this.what.step, message));
    return problems;
  }

  /** Deletes what is visible, and counts. */
  async #afterwards(): Promise<string[]> {
    const problems = await this.subject.cleanUp();
    await this.#reapAll();
    const before = JSON.stringify(this.#before);
    const deadline = Date.now() + PATIENCE_MS;
    let now = this.#census();
    for (let pause = 2; JSON.stringify(now) !== before && Date.now() < deadline; pause *= 2) {
      await sleep(pause);
      await this.#reapAll();
      now = this.#census();
    }
    if (JSON.stringify(now) !== before) {
      problems.push(...difference(this.#before ?? {}, now));
      await this.#mopUp();
      this.#before = this.#census(); // told once
    }
    return problems;
  }

  /** Makes the next point independent of what this one left. */
  async #mopUp(): Promise<void> {
    for (const { pid } of descendants()) {
      try {
        Deno.kill(pid, "SIGKILL");
      } catch {
        // It has ended.
      }
    }
    await this.#reapAll();
    for (const path of cgroupDirectories().reverse()) {
      try {
        Deno.removeSync(path);
      } catch {
        // It will be seen again.
      }
    }
    try {
      Deno.removeSync(this.subject.root, { recursive: true });
    } catch {
      // There is none, or something is mounted.
    }
  }

  /** A census that stays the same: Deno closes some of what the warm-up opened a little later. */
  async #settled(): Promise<Census> {
    for (let last = this.#census();;) {
      await sleep(SETTLING_MS);
      const now = this.#census();
      if (JSON.stringify(now) === JSON.stringify(last)) return now;
      last = now;
    }
  }

  #census(): Census {
    closeImages();
    return census(this.subject.root);
  }

  /** Reaps what has ended; this process adopts orphans. */
  async #reapAll(): Promise<void> {
    const deadline = Date.now() + PATIENCE_MS;
    for (let pause = 1; Date.now() < deadline; pause *= 2) {
      const left = children();
      for (const pid of left) reap(pid);
      if (left.length === 0) return;
      await sleep(pause);
    }
  }

  remove(): void {
    Deno.removeSync(`${this.what.home}/${MARK}`, { recursive: true });
  }
}

/** A socket pair that Deno opens at the first signal that is listened for, or child that is waited for, and keeps. */
function openSignals(): void {
  const listener = () => {};
  Deno.addSignalListener("SIGUSR2", listener);
  Deno.removeSignalListener("SIGUSR2", listener);
}

function makeSubject(scenario: Scenario, names: Names): Subject {
  if (scenario.subject === "netns") return new NetnsName(names);
  if (scenario.subject === "userns") return new UsernsPin(names);
  return new Container(scenario, names);
}

/** What a command that fails exits with: runc's number. */
function failureOf(step: Step): number {
  return step.startsWith("exec") ? 255 : 1;
}

function tell(what: Report | Sum | { at: { k: number; deed: Deed } }): void {
  const bytes = new TextEncoder().encode(`${RECORD}${JSON.stringify(what)}\n`);
  Deno.stdout.writeSync(bytes);
}
