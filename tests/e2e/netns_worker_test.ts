// A Worker's code must travel inside of the one file that belay is: in a launcher, with and without its cache, and in a
// compiled executable, neither of which has a file to start a Worker from.
import { assert, assertEquals } from "@std/assert";
import { mustRun } from "../../scripts/step.ts";
import { notRoot, testUnless } from "../skip.ts";
import { isLauncher, run } from "./belay.ts";

const root = new URL("../..", import.meta.url).pathname;

/** What cannot be built as the executable under test was. */
const denort = Deno.env.get("DENORT_BIN");
const unbuildable = isLauncher || denort !== undefined
  ? undefined
  : "the executable under test is a compiled one, and DENORT_BIN does not say how to make another";

/** Where the modules of a launcher are, for root. */
function placeInCache(launcher: string): string {
  const place = /^m=(\S+)\/module-\$c\.js$/m.exec(launcher)?.[1];
  if (place === undefined) throw new Error("the launcher has no place in the cache");
  return place;
}

testUnless(
  [notRoot(), unbuildable],
  "NetnsWorker works in what is built, and the rest of the program stays where it was",
  async () => {
    // In the project's own directory for what is built, because not every /tmp may be executed from.
    await Deno.mkdir(`${root}dist`, { recursive: true });
    const directory = await Deno.makeTempDir({ dir: `${root}dist`, prefix: "worker-" });
    try {
      const out = `${directory}/program`;
      await mustRun([
        ...[Deno.execPath(), "run", "--allow-all", `${root}scripts/build.ts`],
        ...["--entry", `${root}tests/e2e/netns_worker_entry.ts`, "--out", out],
        ...(isLauncher ? ["--launcher"] : ["--deno", `${denort}`.replace(/[^/]*$/, "deno")]),
      ]);
      const bundle = await Deno.readTextFile(`${out}.js`);
      assert(bundle.includes("data:text/javascript,"), "the Worker's code is in the bundle");
      assert(!bundle.includes("import.meta.url"), "and its file is not asked for");
      // Without the launcher's cache, then as it makes its module, and as it finds it.
      for (const cache of isLauncher ? ["off", "on", "on"] : ["off"]) {
        const { code, stdout, stderr } = await run([out], { env: { BELAY_CACHE: cache } });
        assertEquals([code, stderr], [0, ""]);
        const { own, afterwards, inode, there, links } = JSON.parse(stdout);
        assertEquals([there, afterwards], [`net:[${inode}]`, own]);
        assert(there !== own);
        assertEquals(links, ["lo", "v0", "v1"]);
      }
      if (isLauncher) {
        await Deno.remove(placeInCache(await Deno.readTextFile(out)), { recursive: true });
      }
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  },
);
