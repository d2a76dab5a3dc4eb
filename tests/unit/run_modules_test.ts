import { assertEquals } from "@std/assert";
import { runModules } from "../../scripts/run_modules.ts";

async function withModules(
  texts: Readonly<Record<string, string>>,
  work: (directory: string, paths: string[]) => Promise<void>,
): Promise<void> {
  const directory = await Deno.makeTempDir();
  const log = console.log;
  console.log = () => {}; // what the tests below print is not a result of this module
  try {
    for (const [name, text] of Object.entries(texts)) {
      await Deno.writeTextFile(`${directory}/${name}`, text);
    }
    await work(directory, Object.keys(texts));
  } finally {
    console.log = log;
    await Deno.remove(directory, { recursive: true });
  }
}

Deno.test("runModules() adds what passed, failed and was skipped in every module", async () => {
  await withModules({
    "a_test.ts": 'Deno.test("a", () => {}); Deno.test.ignore("b", () => {});',
    "b_test.ts": 'Deno.test("c", () => { throw new Error("no"); }); Deno.test("d", () => {});',
    "c_test.ts": 'Deno.test("e", () => {}); console.log("SKIP f: no g");',
  }, async (cwd, modules) => {
    assertEquals(await runModules(modules, { cwd, args: ["--no-check"], atOnce: 2 }), {
      passed: 3,
      failed: 1,
      skipped: 1,
      reasons: ["SKIP f: no g"],
    });
  });
});

Deno.test("runModules() counts a failure when a module does not even load", async () => {
  await withModules(
    { "a_test.ts": 'Deno.test("a", () => {});', "b_test.ts": "throw new Error();" },
    async (cwd, modules) => {
      const { passed, failed } = await runModules(modules, {
        cwd,
        args: ["--no-check"],
        atOnce: 1,
      });
      assertEquals([passed, failed], [1, 1]);
    },
  );
});
