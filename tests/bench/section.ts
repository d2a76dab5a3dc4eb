// A part of the benchmark with a file of its own in tests/bench/sections/; scripts/bench.ts finds and runs them.
import type { Needs } from "../../scripts/needs.ts";
import type { Runtime } from "./contestants.ts";

/** A bound, and whether it was met. */
export interface Verdict {
  readonly what: string;
  readonly measured: string;
  readonly bound: string;
  /** Undefined where nothing was promised. */
  readonly met: boolean | undefined;
}

/** What a section may use. */
export interface BenchWorld {
  /** The belays: as a launcher, and compiled where that is possible. */
  readonly ours: readonly Runtime[];
  /** A directory, gone afterwards. */
  readonly scratch: string;
  /** How often each thing is to be measured that takes some ten milliseconds; slower ones less often. */
  readonly rounds: number;
}

/** What was measured. */
export interface Measurement {
  /** Above the table. */
  readonly title: string;
  /** The first row names the columns. */
  readonly table: readonly (readonly string[])[];
  readonly verdicts: readonly Verdict[];
}

/** One part of the benchmark. */
export interface Section {
  /** For `--only`. */
  readonly name: string;
  /** What is measured, in a few words. */
  readonly what: string;
  readonly needs?: Needs;
  run(world: BenchWorld): Promise<readonly Measurement[]>;
}
