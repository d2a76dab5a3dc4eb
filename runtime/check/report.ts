import type { ProbedFeature } from "../../ffi/features.ts";
import { type LadderInUse, laddersInUse } from "./ladders.ts";

/** What `belay check --json` prints. */
export interface CheckReport {
  /** Whether every feature is there that belay cannot do without. */
  readonly ok: boolean;
  /** The names of those that are missing. */
  readonly missing: readonly string[];
  /** /proc/sys/kernel/osrelease. */
  readonly kernel: string;
  /** `x86_64` or `aarch64`. */
  readonly arch: string;
  /** Whether it was root who asked: others cannot see everything. */
  readonly root: boolean;
  /** `available` is null where it cannot be seen from here. */
  readonly features: readonly {
    readonly name: string;
    /** The first kernel that had it; empty for what belay brings itself. */
    readonly since: string;
    readonly purpose: string;
    readonly required: boolean;
    readonly available: boolean | null;
    readonly detail: string;
  }[];
  /** The rung of each ladder that is used here. */
  readonly ladders: readonly LadderInUse[];
}

/** Puts together what was probed. */
export function checkReport(
  features: readonly ProbedFeature[],
  about: Pick<CheckReport, "kernel" | "arch" | "root">,
): CheckReport {
  const missing = features.filter((each) => each.required && each.available !== true);
  return {
    ok: missing.length === 0,
    missing: missing.map((each) => each.name),
    ...about,
    features: features.map(({ available, detail, ...feature }) => ({
      ...feature,
      available: available ?? null,
      detail: detail ?? "",
    })),
    ladders: laddersInUse(features),
  };
}

/** The report for people. */
export function renderReport(report: CheckReport): string {
  const features = report.features.map(({ name, since, available, required, purpose, detail }) => [
    name,
    since,
    answer(available, required),
    detail === "" || detail.startsWith("/memfd") ? purpose : `${purpose} (${detail})`,
  ]);
  const ladders = report.ladders.map(({ name, inUse, rungs }) => {
    const below = rungs.slice(rungs.indexOf(inUse) + 1);
    const above = rungs.slice(0, rungs.indexOf(inUse));
    const parts = [
      ...(above.length > 0 ? [`not here: ${above.join(", ")}`] : []),
      ...(below.length > 0 ? [`else: ${below.join(", ")}`] : []),
    ];
    return [name, inUse, parts.join("; ")];
  });
  return [
    `Linux ${report.kernel}, ${report.arch}${report.root ? "" : ", seen without root"}`,
    "",
    ...table(["FEATURE", "SINCE", "HERE", "WHAT FOR"], features),
    "",
    ...table(["HOW BELAY DOES IT", "HERE", "ON OTHER KERNELS"], ladders),
    "",
    verdict(report),
    "",
  ].join("\n");
}

function answer(available: boolean | null, required: boolean): string {
  if (available === null) return "?";
  return available ? "yes" : required ? "MISSING" : "no";
}

function verdict({ ok, missing, root, features }: CheckReport): string {
  const unseen = features.filter((each) => each.available === null).map((each) => each.name);
  const hint = unseen.length === 0
    ? ""
    : ` Not seen${root ? "" : " without root"}: ${unseen.join(", ")}.`;
  return ok
    ? `belay can run here.${hint}`
    : `belay cannot run here: ${missing.join(", ")} missing.${hint}`;
}

/** Columns as wide as their widest cell, the last as it is. */
function table(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const all = [header, ...rows];
  const widths = header.map((_, i) => Math.max(...all.map((row) => row[i]?.length ?? 0)));
  return all.map((row) =>
    row.map((cell, i) => i === row.length - 1 ? cell : cell.padEnd(widths[i] ?? 0)).join("  ")
      .trimEnd()
  );
}
