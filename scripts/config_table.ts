/**
 * Writes docs/config.md, the table of every field of config.json and what belay does with it, from
 * the schema in runtime/spec/. Run: `deno run -A scripts/config_table.ts`; a unit test fails when
 * the file is not what this makes.
 */
import { type ListedField, listFields } from "../runtime/spec/list_fields.ts";
import type { Status } from "../runtime/spec/schema.ts";
import { OCI_VERSION } from "../runtime/spec/oci_version.ts";

/** The file that is written, from the root of the project. */
export const CONFIG_TABLE = "docs/config.md";

/** The text of docs/config.md. */
export function configTable(): string {
  const fields = listFields();
  const sections = new Map<string, ListedField[]>();
  for (const field of fields) {
    const [top = ""] = field.path.split(/[.[]/, 1);
    sections.set(top, [...sections.get(top) ?? [], field]);
  }
  return [
    introduction(fields),
    ...[...sections].map(([top, members]) => `## ${top}\n\n${table(members)}`),
  ].join("\n\n") + "\n";
}

const MEANINGS: Readonly<Record<Status, string>> = {
  "supported": "done as the specification says, or an error that names the field",
  "refused": "an error that names the field, unless the value asks for nothing: " +
    'null, `""`, `0`, `false`, `[]`, `{}`',
  "no effect": "accepted with a warning: the specification lets runtimes ignore it",
  "not for Linux": "of another platform: ignored with a warning",
};

function introduction(fields: readonly ListedField[]): string {
  const statuses = Object.entries(MEANINGS).map(([status, meaning]) => {
    const count = fields.filter((field) => field.status === status).length;
    return `| ${status} | ${count} | ${meaning} |`;
  });
  return `<!-- Made by scripts/config_table.ts from runtime/spec/*_schema.ts: do not edit. -->

# config.json: what belay does with every field

All ${fields.length} fields of the OCI runtime specification ${OCI_VERSION}. "Since" is the
version of the specification that brought the field; in a path, \`[]\` is each element and \`.*\`
each key.

| status | fields | meaning |
|---|---|---|
${statuses.join("\n")}

- A field that the specification does not know is ignored with a warning that names it.
- \`null\` is the same as leaving the field out, and so is \`""\` for an optional string.
- No string may contain a NUL character.
- 64-bit numbers are exact: 18446744073709551615 is RLIM_INFINITY.
- Every check is made before anything is created.`;
}

function table(fields: readonly ListedField[]): string {
  const rows = fields.map((field) => {
    const type = `${field.type}${field.required ? ", required" : ""}`;
    return `| \`${field.path}\` | ${type} | ${field.since} | ${field.status} | ${noteOf(field)} |`;
  });
  return ["| field | type | since | belay | note |", "|---|---|---|---|---|", ...rows].join("\n");
}

function noteOf({ path, status, note, within }: ListedField): string {
  if (within !== undefined) return `as \`${within}\``;
  return status === "refused" ? `"${path.replace(/(\[\]|\.\*)$/, "")}: ${note}"` : note;
}

if (import.meta.main) {
  const file = new URL(`../${CONFIG_TABLE}`, import.meta.url);
  Deno.writeTextFileSync(file, configTable());
  console.log(`${CONFIG_TABLE}: ${listFields().length} fields`);
}
