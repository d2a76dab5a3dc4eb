import { assert, assertEquals } from "@std/assert";
import { linesOf } from "../faults/lines_of.ts";

async function heard(script: string, silenceMs: number) {
  const child = new Deno.Command("sh", {
    args: ["-c", script],
    ...{ stdin: "null", stdout: "piped" } as const,
  }).spawn();
  const lines: string[] = [];
  const output = linesOf(child, silenceMs);
  const start = performance.now();
  for (let next = await output.next();; next = await output.next()) {
    if (next.done) return { lines, status: next.value, ms: performance.now() - start };
    lines.push(next.value);
  }
}

Deno.test("linesOf() gives all lines and the status of a child that ends by itself", async () => {
  const { lines, status } = await heard("echo a; printf b; sleep 0.1; echo c; exit 3", 5000);
  assertEquals([lines, status.code], [["a", "bc"], 3]);
});

Deno.test("linesOf() kills a child that says nothing, be it from the beginning", async () => {
  const { lines, status } = await heard("exec sleep 20", 100);
  assertEquals([lines, status.signal], [[], "SIGKILL"]);
});

for (
  const [what, script, silenceMs] of [
    ["killed", "exec sleep 60", 300],
    ["gone", "exit 0", 60_000], // it needs not be fast
  ] as const
) {
  Deno.test(`linesOf() ends when a child is ${what} and others hold its output`, async () => {
    // They say something after its end, too, and, when nobody hears them any more, end of that.
    const others = "(for i in $(seq 30); do sleep 1; echo late; done) &";
    const { ms, status } = await heard(`${others} echo a; ${script}`, silenceMs);
    assertEquals(status.signal, what === "killed" ? "SIGKILL" : null);
    assert(ms < 25_000, `it waited for the others: ${ms} ms`);
  });
}
