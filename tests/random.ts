// Random numbers that can be had again: the same for the same seed.

/** Numbers from 0 to `limit` - 1, the same for the same seed (mulberry32). */
export function generator(seed: number): (limit: number) => number {
  let state = seed | 0;
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  };
}

/** What a module's random numbers begin with: BELAY_SEED, or always the same. */
export const SEED = Number(Deno.env.get("BELAY_SEED") ?? 20261126);

/** As many rounds as a test makes, times BELAY_FUZZ. */
export function rounds(count: number): number {
  return count * Number(Deno.env.get("BELAY_FUZZ") ?? 1);
}
