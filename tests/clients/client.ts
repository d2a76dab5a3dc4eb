import { type Obstacle, testUnless } from "../skip.ts";

/**
 * A test of a client. When it fails and its daemon or stage cannot be cleaned up afterwards either, both are told, the
 * failure first: Deno's report of a SuppressedError has neither.
 */
export function clientTest(
  obstacles: readonly Obstacle[],
  name: string,
  work: (t: Deno.TestContext) => Promise<void>,
): void {
  testUnless(obstacles, name, async (t) => {
    try {
      await work(t);
    } catch (error) {
      if (!(error instanceof SuppressedError)) throw error;
      throw new AggregateError(causes(error), causes(error).map(String).join("\nand then: "));
    }
  });
}

function causes(error: unknown): unknown[] {
  return error instanceof SuppressedError
    ? [...causes(error.suppressed), ...causes(error.error)]
    : [error];
}
