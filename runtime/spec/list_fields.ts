/**
 * The list of all fields of config.json, taken from the schema: for docs/config.md and for tests.
 * Nothing that runs a container imports this.
 */
import type { Field, Fields, Presence, Status, Type } from "./schema.ts";
import { SPEC } from "./spec_schema.ts";

/** One field of the specification. */
export interface ListedField {
  /** Its place, with `[]` for "each element" and `.*` for "each key": `linux.devices[].path`. */
  readonly path: string;
  /** What belay does with it. */
  readonly status: Status;
  /** The version of the specification that brought it: `1.0`, `1.0.2`, `1.3`. */
  readonly since: string;
  /** Whether config.json must have it. */
  readonly required: boolean;
  /** What it holds, as the schema names it; "" below a field that belay does not read. */
  readonly type: string;
  /** One line for the reader of the table; of a refused field, the words of the error. */
  readonly note: string;
  /** The words that it must be one of. */
  readonly words?: readonly string[];
  /** The field above it for which belay decides, when it does not read either of them. */
  readonly within?: string;
}

/** Every field of config.json, in the order of the schema. */
export function listFields(): ListedField[] {
  return [...fieldsOf(SPEC.fields ?? {}, "", "1.0")];
}

function* fieldsOf(fields: Fields, prefix: string, since: string): Generator<ListedField> {
  for (const [name, field] of Object.entries(fields)) {
    yield* field.type === undefined
      ? unreadField(name, field, prefix, since)
      : readField(name, field, field.type, prefix, since);
  }
}

type AnyField = Field<unknown, Presence>;

function* readField(
  name: string,
  field: AnyField,
  type: Type<unknown>,
  prefix: string,
  inherited: string,
): Generator<ListedField> {
  const { since = inherited, note = "" } = field.about;
  let path = prefix + name;
  let held = type;
  while (held.element !== undefined) {
    path += held.element.suffix;
    held = held.element.type;
  }
  const { status, required } = field;
  const oneOf = held.words === undefined ? "" : `one of ${held.words.join(", ")}`;
  const remarks = [oneOf, note].filter((remark) => remark !== "").join("; ");
  const choice = held.words === undefined ? {} : { words: held.words };
  yield { path, status, since, required, type: type.name, note: remarks, ...choice };
  if (held.fields !== undefined) yield* fieldsOf(held.fields, `${path}.`, since);
}

function* unreadField(
  name: string,
  field: AnyField,
  prefix: string,
  inherited: string,
): Generator<ListedField> {
  const { status } = field;
  const { note = "", since = inherited, shape = "" } = field.about;
  const all = [...membersOf(`${name}@${since}${shape}`, prefix, inherited)];
  const within = all[0]?.path ?? "";
  for (const [i, { path, since }] of all.entries()) {
    const own = { path, status, since, required: false, type: "" };
    yield i === 0 ? { ...own, note } : { ...own, note: "", within };
  }
}

/** A member's name, suffixes, version, and whether it has members of its own. */
const MEMBER = /(\w+)(@[\d.]*\d)?((?:\[\]|\.\*)*)(@[\d.]*\d)?(\{)?/y;

/**
 * Reads the short notation for what an unread field contains: members are separated by spaces and
 * enclosed in `{}`; `[]` after a name is an array, `.*` a map, `@1.1` the version that brought it,
 * when that is not the version of what contains it. `"{weight devices[]@1.1{major minor}}"`
 */
function* membersOf(
  notation: string,
  prefix: string,
  since: string,
): Generator<{ path: string; since: string }> {
  const stack: { prefix: string; since: string }[] = [];
  let within = { prefix, since };
  for (let at = 0; at < notation.length;) {
    const char = notation[at];
    if (char === " ") {
      at++;
    } else if (char === "}") {
      within = stack.pop() ?? within;
      at++;
    } else {
      MEMBER.lastIndex = at;
      const match = MEMBER.exec(notation);
      if (match === null) throw new Error(`cannot read "${notation}" at ${at}`);
      const [all, name, early, suffixes = "", late, brace] = match;
      const member = {
        path: `${within.prefix}${name}${suffixes}`,
        since: (early ?? late)?.slice(1) ?? within.since,
      };
      yield member;
      if (brace !== undefined) {
        stack.push(within);
        within = { prefix: `${member.path}.`, since: member.since };
      }
      at += all.length;
    }
  }
}
