import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { defaultSpec } from "../../runtime/spec/default_spec.ts";
import { type ListedField, listFields } from "../../runtime/spec/list_fields.ts";
import { parseSpec } from "../../runtime/spec/parse_spec.ts";
import { ValidationError } from "../../runtime/spec/validation_error.ts";
import { CONFIG_TABLE, configTable } from "../../scripts/config_table.ts";

const HERE = new URL(".", import.meta.url);
const FIELDS = listFields();

type Json = Record<string, unknown>;

/**
 * A valid config.json in which `path` (of the list: `linux.devices[].path`) is set to `leaf`;
 * missing objects and array elements on the way are made.
 */
function configWith(path: string, leaf: unknown): Json {
  const config = structuredClone(defaultSpec()) as Json;
  let place: Json = config;
  const names = path.split(".").flatMap((part) => {
    const name = part === "*" ? "some-key" : part;
    return name.endsWith("[]") ? [name.slice(0, -2), "0"] : [name];
  });
  for (const [i, name] of names.entries()) {
    const following = names[i + 1];
    if (following === undefined) place[name] = leaf;
    else place[name] ??= following === "0" ? [] : {};
    place = place[name] as Json;
  }
  return config;
}

/** The field that an error about `field` names: the refused one, with real indices. */
function namedBy(field: ListedField): string {
  return (field.within ?? field.path).replace(/(\[\]|\.\*)$/, "").replaceAll("[]", "[0]");
}

Deno.test("listFields() lists every field of specification 1.3 and no other, with its version", () => {
  const recorded = Deno.readTextFileSync(new URL("testdata/spec-1.3-fields.txt", HERE));
  const ours = FIELDS.map(({ path, since }) => `${path} ${since}`);
  assertEquals(ours.toSorted(), recorded.trimEnd().split("\n").toSorted());
});

Deno.test("docs/config.md is what the schema says", () => {
  const written = Deno.readTextFileSync(new URL(`../../${CONFIG_TABLE}`, HERE));
  assert(
    written === configTable(),
    `${CONFIG_TABLE} is out of date: run deno run -A scripts/config_table.ts`,
  );
});

for (const field of FIELDS.filter(({ status }) => status === "refused")) {
  Deno.test(`parseSpec() refuses ${field.path} and names it when it asks for something`, () => {
    const leaf = field.path.endsWith("[]") ? "x" : 1;
    const error = assertThrows(() => parseSpec(configWith(field.path, leaf)), ValidationError);
    assertEquals(error.field, namedBy(field));
    const decisive = FIELDS.find(({ path }) => path === (field.within ?? field.path));
    assertEquals(error.message, `${error.field}: ${decisive?.note}`);
  });
}

Deno.test("parseSpec() accepts a refused field when its value asks for nothing", () => {
  for (const field of FIELDS) {
    if (field.status !== "refused" || field.within !== undefined) continue;
    const path = field.path.replace(/(\[\]|\.\*)$/, "");
    for (const nothing of [null, "", 0, false, [], {}]) {
      const { warnings } = parseSpec(configWith(path, nothing));
      assertEquals(warnings, [], path);
    }
  }
});

Deno.test("parseSpec() accepts a refused object when all in it is unset, as Docker sends it", () => {
  parseSpec(configWith("linux.resources.blockIO", { weight: 0, weightDevice: [] }));
  parseSpec(configWith("linux.resources.network", {}));
  parseSpec(configWith("linux.seccomp", { defaultAction: "" }));
});

Deno.test("parseSpec() refuses a map when it has a key with an empty value", () => {
  for (const nothing of [{ key: {} }, { key: "" }, { key: null }]) {
    const config = configWith("linux.netDevices", nothing);
    assertThrows(() => parseSpec(config), ValidationError, "linux.netDevices");
  }
});

Deno.test("parseSpec() warns of a field by name when it is not for Linux or has no effect", () => {
  for (const field of FIELDS) {
    if (field.status !== "not for Linux" && field.status !== "no effect") continue;
    const { warnings } = parseSpec(configWith(field.path, "x"));
    assertEquals(warnings.length, 1, field.path);
    assertStringIncludes(warnings[0] ?? "", `${namedBy(field)}: `);
  }
});

Deno.test("parseSpec() names an unknown field, and what was meant when it is near", () => {
  const warningOf = (path: string): string | undefined =>
    parseSpec(configWith(path, "x")).warnings[0];
  assertEquals(warningOf("zebra"), "zebra: unknown field, ignored");
  assertEquals(
    warningOf("linux.maskedPath"),
    'linux.maskedPath: unknown field, ignored (did you mean "maskedPaths"?)',
  );
  assertEquals(
    warningOf("process.user.UID"),
    'process.user.UID: unknown field, ignored (did you mean "uid"?)',
  );
  assertEquals(
    warningOf("mounts[].dest ination"),
    'mounts[0]["dest ination"]: unknown field, ignored (did you mean "destination"?)',
  );
});

Deno.test("parseSpec() does not warn when an unknown field is null", () => {
  assertEquals(parseSpec(configWith("zebra", null)).warnings, []);
});
