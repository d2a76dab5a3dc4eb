import { assert, assertEquals } from "@std/assert";
import { FilterCache } from "../../runtime/seccomp/filter_cache.ts";
import { openFds, thread } from "../ffi_world.ts";

const KEY = {
  text: 'x86_64 6.1 {"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["\u00e4"]}]}',
};
const PROGRAM = new Uint8Array(80).map((_, i) => i);

interface Place {
  readonly directory: string;
  readonly library: string;
  readonly cache: FilterCache;
  /** The files in the cache. */
  files(): string[];
}

/** Does something with a cache in a directory of its own, and looks that no descriptor stays. */
function withCache(use: (place: Place) => void): void {
  const home = Deno.makeTempDirSync({ prefix: "belay-cache-" });
  const before = openFds();
  try {
    const [directory, library] = [`${home}/cache`, `${home}/library`];
    Deno.writeTextFileSync(library, "the library");
    using cache = open(directory);
    assert(cache !== undefined);
    const files = () => [...Deno.readDirSync(directory)].map(({ name }) => `${directory}/${name}`);
    use({ directory, library, cache, files });
  } finally {
    Deno.removeSync(home, { recursive: true });
  }
  assertEquals(openFds(), before);
}

function open(directory: string): FilterCache | undefined {
  return FilterCache.open(thread, directory, Deno.uid() ?? 0);
}

Deno.test("FilterCache gives back what was kept when the key is the same to the byte", () => {
  withCache(({ directory, library, cache, files }) => {
    assertEquals(cache.find(KEY), undefined);
    cache.keep(KEY, PROGRAM, library);
    assertEquals(cache.find(KEY), PROGRAM);
    assertEquals(cache.find({ text: KEY.text.replace("6.1", "6.2") }), undefined);
    assertEquals(cache.find({ text: `${KEY.text} ` }), undefined);
    using again = open(directory);
    assertEquals(again?.find(KEY), PROGRAM);
    assertEquals(files().length, 1);
    const { mode } = Deno.statSync(files()[0] ?? "");
    assertEquals([(mode ?? 0) & 0o777, (Deno.statSync(directory).mode ?? 0) & 0o777], [
      0o600,
      0o700,
    ]);
  });
});

Deno.test("FilterCache gives nothing when the library is another one by now", () => {
  withCache(({ library, cache, files }) => {
    cache.keep(KEY, PROGRAM, library);
    Deno.removeSync(library);
    assertEquals(cache.find(KEY), undefined);
    Deno.writeTextFileSync(library, "the library, rebuilt");
    assertEquals(cache.find(KEY), undefined);
    const other = PROGRAM.toReversed();
    cache.keep(KEY, other, library);
    assertEquals(cache.find(KEY), other);
    assertEquals(files().length, 1);
    cache.keep({ text: "another" }, PROGRAM, "/there/is/none");
    assertEquals(files().length, 1);
  });
});

Deno.test("FilterCache gives nothing when another could have written the file, or it is damaged", () => {
  withCache(({ directory, library, cache, files }) => {
    cache.keep(KEY, PROGRAM, library);
    const [kept = ""] = files();
    const content = Deno.readFileSync(kept);
    for (const mode of [0o602, 0o620, 0o640, 0o604]) {
      Deno.chmodSync(kept, mode);
      assertEquals(cache.find(KEY), undefined, mode.toString(8));
    }
    Deno.chmodSync(kept, 0o600);
    const { length: whole } = content;
    for (const length of [0, 1, 40, whole - 1, whole - 8, whole - PROGRAM.length]) {
      Deno.writeFileSync(kept, content.subarray(0, length));
      assertEquals(cache.find(KEY), undefined, `${length}`);
    }
    Deno.writeFileSync(kept, content);
    assertEquals(cache.find(KEY), PROGRAM);
    Deno.renameSync(kept, `${directory}/moved`);
    Deno.symlinkSync("moved", kept);
    assertEquals(cache.find(KEY), undefined);
  });
});

Deno.test("FilterCache is none when its directory is not its owner's alone", () => {
  withCache(({ directory }) => {
    for (const mode of [0o777, 0o750, 0o701]) {
      Deno.chmodSync(directory, mode);
      assertEquals(open(directory), undefined, mode.toString(8));
    }
    Deno.chmodSync(directory, 0o700);
    Deno.symlinkSync(directory, `${directory}-link`);
    assertEquals(open(`${directory}-link`), undefined);
    assertEquals(open(`${directory}/none/none`), undefined);
    assertEquals(FilterCache.open(thread, directory, (Deno.uid() ?? 0) + 1), undefined);
  });
});

Deno.test("FilterCache does not grow without end", () => {
  withCache(({ library, cache, files }) => {
    for (let i = 0; i < 200; i++) cache.keep({ text: `profile ${i}` }, PROGRAM, library);
    assert(files().length <= 64, `${files().length}`);
    assertEquals(cache.find({ text: "profile 199" }), PROGRAM);
    cache.keep({ text: "x".repeat(0x40000) }, PROGRAM, library); // too large to be worth it
    assertEquals(cache.find({ text: "x".repeat(0x40000) }), undefined);
  });
});
