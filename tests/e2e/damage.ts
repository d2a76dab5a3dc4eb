// Odd things put into places of a JSON text, and what an answer to that may be.
import { assert } from "@std/assert";
import type { AnySpec } from "./world.ts";

const ODD: readonly unknown[] = [
  ...[null, true, "", "/", "x", "../..", "\0", "\ud800", 0, -1, 0.5, 7, 2 ** 31, 2 ** 53, 1e300],
  ...[[], [null], ["x"], {}, { x: {} }, "x".repeat(3000)],
];

/**
 * Puts something odd into some place of it, half of the time of the kind that was there (so that it comes further than
 * to the question of kinds), or takes something away.
 */
export function damage(root: AnySpec, random: (limit: number) => number): void {
  const places: [AnySpec, string][] = [];
  const visit = (holder: AnySpec) => {
    if (typeof holder !== "object") return;
    for (const key of Object.keys(holder ?? {})) {
      places.push([holder, key]);
      visit(holder[key]);
    }
  };
  visit(root);
  const [holder, key] = places[random(places.length)] ?? [root, "x"];
  if (random(4) === 0) delete holder[key];
  else {
    const kind = random(2) === 0 ? kindOf(holder[key]) : undefined;
    const alike = ODD.filter((each) => kind === undefined || kindOf(each) === kind);
    holder[key] = structuredClone(alike[random(alike.length)] ?? null);
  }
}

function kindOf(value: unknown): string {
  return Array.isArray(value) ? "array" : value === null ? "null" : typeof value;
}

/** Fails unless somebody was told what is wrong, and it is not belay. */
export function assertClear(said: string, what: string): void {
  assert(/level=error msg=/.test(said), what);
  assert(!/internal error|TypeError|RangeError|undefined|\[object|panic/.test(said), what);
}
