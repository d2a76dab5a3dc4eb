import { assertEquals } from "@std/assert";
import { e2e } from "./world.ts";

for (const [end, expected] of [["exit 0", 0], ["exit 7", 7]] as const) {
  e2e(`run exits with ${expected} when the program does '${end}'`, async (world) => {
    const bundle = await world.bundle({ args: ["sh", "-c", end] });
    const { code } = await world.belay(["run", world.id()], { cwd: bundle });
    assertEquals(code, expected);
  });
}
