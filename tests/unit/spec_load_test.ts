import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { defaultSpec } from "../../runtime/spec/default_spec.ts";
import { loadSpec } from "../../runtime/spec/load_spec.ts";
import { parseExactJson, parseJson } from "../../runtime/spec/parse_json.ts";
import { ValidationError } from "../../runtime/spec/validation_error.ts";
import type { Config } from "./spec_expect.ts";

/** Runs `test` with a new bundle whose config.json is the default one after `change`. */
function withBundle(change: (config: Config) => void, test: (bundle: string) => void): void {
  const bundle = Deno.realPathSync(Deno.makeTempDirSync({ prefix: "belay-spec-" }));
  try {
    Deno.mkdirSync(`${bundle}/rootfs`);
    const config = structuredClone(defaultSpec());
    change(config);
    Deno.writeTextFileSync(`${bundle}/config.json`, JSON.stringify(config));
    test(bundle);
  } finally {
    Deno.removeSync(bundle, { recursive: true });
  }
}

function refusesBundle(change: (config: Config) => void, field: string, problem: string): void {
  withBundle(change, (bundle) => {
    const error = assertThrows(() => loadSpec(bundle), ValidationError, problem);
    assertEquals(error.field, field);
  });
}

Deno.test("loadSpec() makes the root and the sources of bind mounts absolute", () => {
  withBundle((c) => {
    c.mounts.push({ destination: "/a", source: "data/a", options: ["bind"] });
    c.mounts.push({ destination: "/b", source: "/b", options: ["rbind"] });
  }, (bundle) => {
    const { spec, warnings } = loadSpec(bundle);
    assertEquals(warnings, []);
    assertEquals(spec.root, { path: `${bundle}/rootfs`, readonly: true });
    assertEquals(spec.mounts.at(-2)?.source, `${bundle}/data/a`);
    assertEquals(spec.mounts.at(-1)?.source, "/b");
    assertEquals(spec.mounts[0]?.source, "proc");
  });
});

Deno.test("loadSpec() resolves symbolic links on the way to the root", () => {
  withBundle((c) => c.root.path = "link", (bundle) => {
    Deno.symlinkSync("rootfs", `${bundle}/link`);
    assertEquals(loadSpec(bundle).spec.root.path, `${bundle}/rootfs`);
  });
});

Deno.test("loadSpec() refuses a root that is no directory", () => {
  refusesBundle((c) => c.root.path = "nowhere", "root.path", "no such directory: ");
  refusesBundle((c) => c.root.path = "config.json", "root.path", "must be a directory: ");
  refusesBundle((c) => c.root.path = "config.json/x", "root.path", "Not a directory");
});

Deno.test("loadSpec() says in runc's words when there is no config.json", () => {
  const error = assertThrows(() => loadSpec("/nowhere/at/all"), ValidationError);
  assertEquals(error.field, "config.json");
  assertStringIncludes(error.message, "JSON specification file config.json not found");
});

Deno.test("loadSpec() says why config.json cannot be read", () => {
  withBundle(() => {}, (bundle) => {
    Deno.removeSync(`${bundle}/config.json`);
    Deno.mkdirSync(`${bundle}/config.json`);
    const error = assertThrows(() => loadSpec(bundle), ValidationError);
    assertEquals(error.field, "config.json");
    assertStringIncludes(error.message, "directory");
  });
});

Deno.test("loadSpec() names the line and column where config.json stops to be JSON", () => {
  withBundle(() => {}, (bundle) => {
    Deno.writeTextFileSync(`${bundle}/config.json`, '{\n\t"ociVersion": "1.0.0",\n\t"root": }\n');
    const error = assertThrows(() => loadSpec(bundle), ValidationError);
    assertEquals(
      error.message,
      'config.json: is not JSON: line 3, column 10: expected a value, got "}"',
    );
  });
});

Deno.test("loadSpec() refuses a sysctl when the namespace that is joined is the host's own", () => {
  refusesBundle(
    (c) => {
      c.linux.namespaces[1].path = "/proc/self/ns/net";
      c.linux.sysctl = { "net.ipv4.ip_forward": "1" };
    },
    'linux.sysctl["net.ipv4.ip_forward"]',
    "would change the host's: /proc/self/ns/net is the host's own network",
  );
  refusesBundle(
    (c) => {
      c.linux.namespaces[1].path = "/proc/0/ns/net";
      c.linux.sysctl = { "net.ipv4.ip_forward": "1" };
    },
    'linux.sysctl["net.ipv4.ip_forward"]',
    "/proc/0/ns/net",
  );
});

Deno.test("parseJson() describes the first violation of the grammar", () => {
  const cases: [text: string, where: string][] = [
    ["", "line 1, column 1: expected a value, got the end of the file"],
    [
      "{",
      'line 1, column 2: expected a field name in double quotes or "}", got the end of the file',
    ],
    ['{"a":1,}', 'line 1, column 8: expected a field name in double quotes, got "}"'],
    ['{"a" 1}', 'line 1, column 6: expected ":", got "1"'],
    ["[1,]", 'line 1, column 4: expected a value, got "]"'],
    ["[1 2]", 'line 1, column 4: expected "," or a closing bracket, got "2"'],
    ["[[]}", 'line 1, column 4: expected "," or a closing bracket, got "}"'],
    ["{}\n\nx", 'line 3, column 1: expected the end of the file, got "x"'],
    ['{"a":"b\n"}', 'line 1, column 8: expected the end of a string, got "\\n"'],
    ['["\\x"]', 'line 1, column 3: expected the end of a string, got "\\\\"'],
    ['"a', "line 1, column 3: expected the end of a string, got the end of the file"],
    ["[01]", 'line 1, column 2: expected a value or "]", got "0"'],
    ["[nul]", 'line 1, column 2: expected a value or "]", got "n"'],
    ["[1, 2.]", 'line 1, column 5: expected a value, got "2"'],
  ];
  for (const [text, where] of cases) {
    const error = assertThrows(() => parseJson(text, "f"), ValidationError);
    assertEquals(error.message, `f: is not JSON: ${where}`);
  }
});

Deno.test("parseExactJson() gives a bigint only where a number would not be exact", () => {
  assertEquals(
    parseExactJson("[9007199254740991,9007199254740993,-9007199254740993,1e20,0.5]", "f"),
    [
      9007199254740991,
      9007199254740993n,
      -9007199254740993n,
      1e20,
      0.5,
    ],
  );
});
