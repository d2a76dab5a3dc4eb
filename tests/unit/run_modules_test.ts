import { assertEquals, assertMatch } from "@std/assert";
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
    const { errors, ...tally } = await runModules(modules, {
      ...{ cwd, args: ["--no-check"], atOnce: 2 },
    });
    assertMatch(`${errors}`, /^c => .*\nerror: Error: no\n/);
    assertEquals(tally, {
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

Deno.test("runModules() counts what failed beside others as failed, and tells that it passed alone", async () => {
  await withModules({
    // Fails when it is run for the first time: then there is no second file of its own.
    "a_test.ts": 'const file = `seen-${Deno.pid}`; Deno.writeTextFileSync(file, "");\n' +
      'Deno.test("a", () => { if ([...Deno.readDirSync(".")].length < 4) throw new Error(); });\n',
    "b_test.ts": 'Deno.test("b", () => {});',
  }, async (cwd, modules) => {
    const options = { cwd, args: ["--no-check", "--allow-all"], atOnce: 2 };
    const { errors, ...tally } = await runModules(modules, options);
    assertEquals(errors.length, 1);
    assertEquals(tally, {
      passed: 1,
      failed: 1,
      skipped: 0,
      reasons: ["UNSTABLE a_test.ts: failed beside others, passed alone"],
    });
  });
});

Deno.test("runModules() tells what fails alone, too, and what fails in number", async () => {
  const bad = 'Deno.test("a", () => { throw new Error(); });';
  const modules = Object.fromEntries([1, 2, 3, 4].map((n) => [`m${n}_test.ts`, bad]));
  await withModules({ "m_test.ts": bad }, async (cwd, paths) => {
    const options = { cwd, args: ["--no-check"], atOnce: 2 };
    assertEquals((await runModules(paths, options)).failed, 1);
  });
  await withModules(modules, async (cwd, paths) => {
    const options = { cwd, args: ["--no-check"], atOnce: 2 };
    assertEquals((await runModules(paths, options)).failed, 4);
  });
});
