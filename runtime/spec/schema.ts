/**
 * A small typed schema. A field of config.json is described once, as data; from that description
 * come the parser, the TypeScript type ({@link Infer}), docs/config.md and the tests of every
 * refused field (`list_fields.ts` walks it).
 *
 * As in Go's JSON decoder, which clients rely on, `null` means that a field is absent, and so does
 * "" for an optional string.
 */
import { asksForNothing } from "./asks_for_nothing.ts";
import { didYouMean } from "./near_miss.ts";
import { pathOf, preview, ValidationError } from "./validation_error.ts";

/** How a value is read: a parser plus what the documentation and the tests need to know. */
export interface Type<T> {
  /** What docs/config.md calls it: `string`, `uint32`, `array of string`. */
  readonly name: string;
  /**
   * Returns the value in the form that belay works with. `at` is the field's path, for errors;
   * remarks that are no errors are added to `warnings`.
   * @throws {ValidationError}
   */
  readonly parse: (value: unknown, at: string, warnings: string[]) => T;
  /** The fields of an object. */
  readonly fields?: Fields;
  /** The type of what an array (`[]`) or a map (`.*`) holds. */
  readonly element?: { readonly suffix: "[]" | ".*"; readonly type: Type<unknown> };
  /** The words that a string must be one of. */
  readonly words?: readonly string[];
  /** The value that an optional field of this type has when nobody set it: "" for strings. */
  readonly unset?: "" | 0;
}

/** Whether a field is in the parsed object always, only if it was given, or never. */
export type Presence = "always" | "maybe" | "never";

/** What belay does with a field. */
export type Status = "supported" | "refused" | "no effect" | "not for Linux";

/** What is said about a field in docs/config.md. */
export interface About {
  /** The version of the specification that brought the field, when that was not 1.0. */
  readonly since?: string;
  /** One line for the reader of the table. */
  readonly note?: string;
}

/** What is said about a field that belay does not read, with the names of what it contains. */
export interface AboutUnread extends About {
  /** Its members in the notation of {@link import("./list_fields.ts")}, e.g. `[]{major minor}`. */
  readonly shape?: string;
}

/** A named place in an object. */
export interface Field<T, P extends Presence> {
  /** For docs/config.md. */
  readonly about: AboutUnread;
  /** What belay does with it. */
  readonly status: Status;
  /** Whether it is in the parsed object. */
  readonly presence: P;
  /** Whether config.json must have it. */
  readonly required: boolean;
  /** How its value is read; absent when belay does not read it. */
  readonly type?: Type<T>;
  /** Returns the parsed value, or undefined when nothing is to be stored. */
  readonly take: (value: unknown, at: string, warnings: string[]) => T | undefined;
}

/** The fields of an object by their JSON names. */
export type Fields = Readonly<Record<string, Field<unknown, Presence>>>;

/** The TypeScript type that a {@link Type} parses to. */
export type Infer<X> = X extends Type<infer T> ? T : never;

/** The type of a field's value. */
export type ValueOf<X> = X extends Field<infer T, Presence> ? T : never;
/** The names of the fields with this presence. */
export type NamesWith<F extends Fields, P extends Presence> = {
  [K in keyof F]: F[K] extends Field<unknown, P> ? K : never;
}[keyof F];
/** One object type instead of an intersection, so that editors show its fields. */
export type Flat<T> = { [K in keyof T]: T[K] };

/** The object type that `F` describes: refused and foreign fields are not in it. */
export type ObjectOf<F extends Fields> = Flat<
  & { [K in NamesWith<F, "always">]: ValueOf<F[K]> }
  & { [K in NamesWith<F, "maybe">]?: ValueOf<F[K]> }
>;

function isAbsent(value: unknown, type: Type<unknown>): boolean {
  return value === undefined || value === null || value === type.unset;
}

/** A field that must be given. */
export function required<T>(type: Type<T>, about: About = {}): Field<T, "always"> {
  return {
    about,
    status: "supported",
    presence: "always",
    required: true,
    type,
    take(value, at, warnings) {
      if (value === undefined || value === null) {
        throw new ValidationError(at, `is required and must be ${article(type.name)}`);
      }
      return type.parse(value, at, warnings);
    },
  };
}

/** A field that may be absent, and then is absent from the parsed object. */
export function optional<T>(type: Type<T>, about: About = {}): Field<T, "maybe"> {
  return {
    about,
    status: "supported",
    presence: "maybe",
    required: false,
    type,
    take: (value, at, warnings) =>
      isAbsent(value, type) ? undefined : type.parse(value, at, warnings),
  };
}

/** As `optional`, and absent also when its value requests nothing: what Go writes for an object that nobody filled in. */
export function requested<T>(type: Type<T>, about: About = {}): Field<T, "maybe"> {
  return {
    ...optional(type, about),
    take: (value, at, warnings) =>
      asksForNothing(value) ? undefined : type.parse(value, at, warnings),
  };
}

/** A field that may be absent, and then has the value that is parsed from `standard`. */
export function defaulted<T>(
  type: Type<T>,
  standard: unknown,
  about: About = {},
): Field<T, "always"> {
  return {
    about,
    status: "supported",
    presence: "always",
    required: false,
    type,
    take: (value, at, warnings) =>
      type.parse(isAbsent(value, type) ? standard : value, at, warnings),
  };
}

/** A field that belay does not support: an error, unless its value requests nothing. */
export function refused(what: string, about: AboutUnread = {}): Field<never, "never"> {
  return {
    about: { note: refusalOf(what), ...about },
    status: "refused",
    presence: "never",
    required: false,
    take(value, at) {
      if (asksForNothing(value, about.shape?.startsWith(".*"))) return undefined;
      throw new ValidationError(at, refusalOf(what));
    },
  };
}

/** The words in which a field is refused, the same in the error and in docs/config.md. */
function refusalOf(what: string): string {
  return `${what} not supported yet; leave the field out`;
}

/** A field that does nothing on any kernel: accepted, with a warning that says `why`. */
export function ineffective(why: string, about: AboutUnread = {}): Field<never, "never"> {
  return unread("no effect", `has no effect: ${why}`, { note: why, ...about });
}

/** A field of another platform: ignored (config.md, "Platform-specific configuration"). */
export function foreign(platform: string, about: AboutUnread = {}): Field<never, "never"> {
  return unread("not for Linux", `ignored: it is for ${platform}`, {
    note: `for ${platform}`,
    ...about,
  });
}

function unread(status: Status, remark: string, about: AboutUnread): Field<never, "never"> {
  return {
    about,
    status,
    presence: "never",
    required: false,
    take(value, at, warnings) {
      if (!asksForNothing(value)) warnings.push(`${at}: ${remark}`);
      return undefined;
    },
  };
}

/** An object with these fields. An unknown field is ignored with a warning that names it. */
export function object<F extends Fields>(fields: F): Type<ObjectOf<F>> {
  return {
    name: "object",
    fields,
    parse(value, at, warnings) {
      const given = asObject(value, at);
      const result: Record<string, unknown> = {};
      for (const name in fields) {
        const path = at === "" ? name : `${at}.${name}`;
        const taken = fields[name]?.take(given[name], path, warnings);
        if (taken !== undefined) result[name] = taken;
      }
      for (const name in given) {
        if (Object.hasOwn(fields, name) || given[name] === null) continue;
        const hint = didYouMean(name, Object.keys(fields));
        warnings.push(`${pathOf(at, name)}: unknown field, ignored${hint}`);
      }
      return result as ObjectOf<F>;
    },
  };
}

/** An array of `type`. */
export function array<T>(type: Type<T>): Type<T[]> {
  return {
    name: `array of ${type.name}`,
    element: { suffix: "[]", type },
    parse(value, at, warnings) {
      if (!Array.isArray(value)) {
        throw new ValidationError(at, `must be an array, got ${preview(value)}`);
      }
      const result: T[] = [];
      for (let i = 0; i < value.length; i++) {
        result.push(type.parse(value[i], `${at}[${i}]`, warnings));
      }
      return result;
    },
  };
}

/** An object whose keys are data. It has no prototype, so that any key is harmless. */
export function map<T>(type: Type<T>): Type<Record<string, T>> {
  return {
    name: `map of ${type.name}`,
    element: { suffix: ".*", type },
    parse(value, at, warnings) {
      const result: Record<string, T> = Object.create(null);
      const given = asObject(value, at);
      for (const key in given) {
        const element = given[key];
        if (element === null || element === undefined) continue;
        const path = pathOf(at, key);
        if (key === "") throw new ValidationError(at, "has an empty key; every key must be a name");
        if (key.includes("\0")) {
          throw new ValidationError(path, "the key must be text without NUL characters");
        }
        result[key] = type.parse(element, path, warnings);
      }
      return result;
    },
  };
}

/** `type`, with its value examined or converted by `check`, which may throw a ValidationError. */
export function checked<T, U>(
  type: Type<T>,
  check: (value: T, at: string, warnings: string[]) => U,
): Type<U> {
  return {
    ...type,
    parse: (value, at, warnings) => check(type.parse(value, at, warnings), at, warnings),
  };
}

function asObject(value: unknown, at: string): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw new ValidationError(
    at === "" ? "config.json" : at,
    `must be an object, got ${preview(value)}`,
  );
}

function article(noun: string): string {
  return `${/^[aeio]/.test(noun) ? "an" : "a"} ${noun}`;
}
