// The rules of docs/HACKING.md that a program can check.
import { assert, assertEquals } from "@std/assert";

const root = new URL("../..", import.meta.url).pathname;

const LONGEST_FILE = 400;

interface SourceFile {
  /** From the root of the project. */
  readonly path: string;
  readonly text: string;
}

function filesIn(directory: string): SourceFile[] {
  return [...Deno.readDirSync(root + directory)].flatMap((entry) => {
    const path = `${directory}/${entry.name}`;
    if (entry.isDirectory) return filesIn(path);
    return path.endsWith(".ts") ? [read(path)] : [];
  });
}

function read(path: string): SourceFile {
  return { path, text: Deno.readTextFileSync(root + path) };
}

/** What is shipped: no test, no script. */
const product = [read("main.ts"), ...filesIn("ffi"), ...filesIn("runtime")];
const all = [...product, ...filesIn("scripts"), ...filesIn("tests")];

/** Lines that match, as `path:line: text`, so that a failure shows where to look. */
function matches(files: readonly SourceFile[], pattern: RegExp): string[] {
  return files.flatMap(({ path, text }) =>
    text.split("\n").flatMap((line, i) => pattern.test(line) ? [`${path}:${i + 1}: ${line}`] : [])
  );
}

Deno.test("tidy: no file is longer than 400 lines", () => {
  const long = all.map(({ path, text }) => ({ path, lines: text.split("\n").length - 1 }))
    .filter(({ lines }) => lines > LONGEST_FILE);
  assertEquals(long, []);
});

Deno.test("tidy: ffi/ imports nothing from outside of ffi/", () => {
  const outside = filesIn("ffi").flatMap(({ path, text }) => {
    return importsOf(text).filter((from) => !resolve(path, from).startsWith("ffi/"))
      .map((from) => `${path} imports ${from}`);
  });
  assertEquals(outside, []);
});

Deno.test("tidy: the product imports itself and @std only, and no test or script", () => {
  const strange = product.flatMap(({ path, text }) => {
    return importsOf(text)
      .filter((from) => !from.startsWith("@std/") && !/^(ffi|runtime)\//.test(resolve(path, from)))
      .map((from) => `${path} imports ${from}`);
  });
  assertEquals(strange, []);
});

Deno.test("tidy: Deno.dlopen is in ffi/libc.ts, and for libseccomp in a file that few load", () => {
  const allowed = ["ffi/libc.ts", "ffi/libseccomp.ts"];
  const used = matches(
    product.filter(({ path }) => !allowed.includes(path)),
    /\bDeno\.dlopen\s*\(/,
  );
  assertEquals(used, []);
});

Deno.test("tidy: no thread of belay's own enters a namespace but a NetnsWorker's", () => {
  // setns(2) and unshare(2) stand only where a stub is asked to make them: a process of its own, with one thread.
  const others = product.filter(({ path }) =>
    path !== "ffi/pinned/worker.ts" && path !== "ffi/syscalls/namespace.ts"
  );
  const wrong = others.flatMap(({ path, text }) =>
    [...text.matchAll(
      /(?<!["`/*?]\s*)\b(?:setns|unshare)\(\w|(?:call|effect)\(\s*"(?:setns|unshare)"/g,
    )].flatMap(
      ({ index }) => {
        if (/^\s*(?:\*|\/[/*])/.test(text.slice(text.lastIndexOf("\n", index) + 1))) return []; // a comment
        const askers = [
          ...text.slice(0, index).matchAll(/(\w+)\??\.(?:call|batch|post)\(|\bpost\((\w+)/g),
        ];
        const asked = askers.at(-1)?.slice(1).find((name) => name !== undefined) ?? "nobody";
        if (/stub|init|outer|child|remote/i.test(asked)) return [];
        return [`${path}: ${asked} is asked for ${text.slice(index, text.indexOf("\n", index))}`];
      },
    )
  );
  assertEquals(wrong, []);
});

Deno.test("tidy: what starts a container loads nothing of the network plane", () => {
  const starting = ["create", "start", "run", "kill", "delete", "state"].map((name) =>
    `runtime/commands/${name}.ts`
  );
  const loaded = new Set<string>();
  const load = (path: string) => {
    if (loaded.has(path)) return;
    loaded.add(path);
    // What is imported when it is needed is another chunk: only `import … from` is loaded with the module.
    for (
      const [, from = ""] of read(path).text.matchAll(
        /^(?:import|export|\}).*?\bfrom\s+"([^"]+)"/gm,
      )
    ) {
      if (from.startsWith(".")) load(resolve(path, from));
    }
  };
  ["main.ts", ...starting].forEach(load);
  assert(loaded.size > 50, `only ${loaded.size} modules were found`);
  const network = [...loaded].filter((path) =>
    /^ffi\/(pinned|netlink)|^ffi\/syscalls\/(netlink|tun)\.ts|^runtime\/netns\//.test(path)
  );
  assertEquals(network, []);
});

Deno.test("tidy: the product uses neither node: nor process, which cost 5-18 ms", () => {
  assertEquals(matches(product, /["']node:|\bglobalThis\.process\b/), []);
});

Deno.test("tidy: the product exports no variable that can change, for launchers copy exports", () => {
  assertEquals(matches(product, /^export (let|var)\b/), []);
});

Deno.test("tidy: nothing is left to be done later", () => {
  const words = new RegExp(`\\b(${["TO" + "DO", "FIX" + "ME", "X" + "XX"].join("|")})\\b`);
  assertEquals(matches(all, words), []);
});

Deno.test("tidy: test modules end in _test.ts and name their tests", () => {
  const unnamed = matches(filesIn("tests"), /\bDeno\.test\(\s*(?:async\s*)?(?:\(|function\b)/);
  assertEquals(unnamed, []);
  const misnamed = filesIn("tests").filter(({ path, text }) =>
    /^Deno\.test\(/m.test(text) && !path.endsWith("_test.ts")
  ).map(({ path }) => path);
  assertEquals(misnamed, []);
});

Deno.test("tidy: no test is switched to run alone", () => {
  assertEquals(matches(filesIn("tests"), /\bDeno\.test\.only\b|\bonly: true\b/), []);
});

Deno.test("tidy: the version is the same in deno.json and in belay", () => {
  const { version } = JSON.parse(read("deno.json").text);
  assert(read("runtime/cli/version.ts").text.includes(`"${version}"`), version);
});

Deno.test("tidy: every page in docs/decisions is in its index", () => {
  const index = Deno.readTextFileSync(`${root}docs/decisions/README.md`);
  const missing = [...Deno.readDirSync(`${root}docs/decisions`)].map(({ name }) => name)
    .filter((name) => name !== "README.md" && !index.includes(`(${name})`));
  assertEquals(missing, []);
});

/** What a module imports, statically, dynamically, or to export it again. */
function importsOf(text: string): string[] {
  const pattern =
    /^(?:import|export|\})[^"'\n]*?\bfrom\s+"([^"]+)"|^import\s+"([^"]+)"|\bimport\(\s*"([^"]+)"/gm;
  return [...text.matchAll(pattern)].map((match) => match[1] ?? match[2] ?? match[3] ?? "");
}

/** The path from the root of the project that a relative import means. */
function resolve(importer: string, from: string): string {
  if (!from.startsWith(".")) return from;
  return new URL(from, `file:///${importer}`).pathname.slice(1);
}

Deno.test("tidy: what the pages name is there: files, and functions in them", () => {
  const pages = ["README.md", ...pagesIn("docs")];
  const wrong: string[] = [];
  for (const page of pages) {
    const text = Deno.readTextFileSync(root + page);
    for (const [, path = ""] of text.matchAll(/`((?:runtime|ffi|scripts|tests)\/[\w/]+\.\w+)`/g)) {
      if (!isFile(root + path)) wrong.push(`${page}: ${path}`);
    }
    for (const [shown, name, path] of text.matchAll(/`(\w+)\(\)` in `([\w/]+\.ts)`/g)) {
      if (!read(path ?? "").text.includes(`function ${name}(`)) wrong.push(`${page}: ${shown}`);
    }
  }
  assertEquals(wrong, []);
  assert(pages.length > 15);
});

Deno.test("tidy: the pages about the rooms name every room of runtime/", () => {
  const rooms = [...Deno.readDirSync(`${root}runtime`)].map(({ name }) => name);
  for (const page of ["docs/ARCHITECTURE.md", "docs/HACKING.md"]) {
    const [, drawn = ""] = Deno.readTextFileSync(root + page).split(/^```$/m);
    assertEquals(rooms.filter((room) => !drawn.includes(`${room}/`)), [], page);
  }
});

function pagesIn(directory: string): string[] {
  return [...Deno.readDirSync(root + directory)].flatMap(({ name, isDirectory }) => {
    if (isDirectory) return pagesIn(`${directory}/${name}`);
    return name.endsWith(".md") ? [`${directory}/${name}`] : [];
  });
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
