import type { Holder } from "../discover/holder.ts";

/** What `belay netns doctor` looks for. */
export const FINDING_KINDS = ["file", "filter", "tap", "veth", "holder"] as const;

/** One of these. */
export type FindingKind = typeof FINDING_KINDS[number];

/** Something that was left behind, or seems to be. */
export interface Finding {
  /**
   * `file`: a name without a namespace; `filter`: one that sends packets to a link that is gone; `tap`: one that no
   * process has; `veth`: one whose other end is in no namespace that can be found; `holder`: a namespace that
   * descriptors alone keep.
   */
  readonly kind: FindingKind;
  /** The inode of the namespace that it is in, or is; null for a file. */
  readonly netns: number | null;
  /** The link's name. */
  readonly link?: string;
  /** The file. */
  readonly path?: string;
  /** For people. */
  readonly what: string;
  /** Whether nobody can have any use for it: `--fix` does not ask then. */
  readonly certain: boolean;
  /** What `--fix` does; null when it can do nothing. */
  readonly remedy: string | null;
  /** Of a namespace: who keeps it. */
  readonly holders?: readonly Holder[];
}

/** A finding with the deed that its remedy names. */
export interface Case {
  readonly finding: Finding;
  /**
   * Does it, having looked once more whether it is still so; returns what was done, in the past.
   * @throws what went wrong
   */
  readonly cure: () => string;
}

/** What it says when it has gone by itself. */
export const GONE = "it was gone already";
