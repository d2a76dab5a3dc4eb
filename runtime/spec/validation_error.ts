/**
 * Input from outside (config.json) that belay will not act upon. It always names the field, so
 * that the message reads `linux.namespaces[2].path: must be an absolute path, got "foo"`.
 */
export class ValidationError extends Error {
  /** The field as it is reached in config.json: `mounts[3].options[0]`, `linux.sysctl["net.x"]`. */
  readonly field: string;

  /** `problem` says what was wrong and what is allowed. */
  constructor(field: string, problem: string, options?: ErrorOptions) {
    super(`${field}: ${problem}`, options);
    this.name = "ValidationError";
    this.field = field;
  }
}

/**
 * A number of 64 bits came as a JavaScript number that may not be what was written, because it is
 * beyond 2^53. Whoever has the text parses it again with `parseExactJson`.
 */
export class InexactNumber extends ValidationError {
  /** `value` is what is left of the number. */
  constructor(field: string, value: number) {
    super(field, `the number ${value} may have lost digits; it must be given as a bigint`);
    this.name = "InexactNumber";
  }
}

const LONGEST_PREVIEW = 60;

/** `value` as a person would recognize it in the file: JSON, cut after 60 characters. */
export function preview(value: unknown): string {
  if (typeof value === "bigint") return value.toString();
  if (value === undefined) return "nothing";
  if (Array.isArray(value)) return value.length === 0 ? "an empty array" : "an array";
  if (typeof value === "object" && value !== null) return "an object";
  const text = JSON.stringify(value) ?? String(value);
  return text.length <= LONGEST_PREVIEW ? text : `${text.slice(0, LONGEST_PREVIEW)}...`;
}

/** The path of `key` in `at`: `linux.devices`, or `linux.sysctl["net.x"]` if a dot misleads. */
export function pathOf(at: string, key: string): string {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(key)) return `${at}[${JSON.stringify(key)}]`;
  return at === "" ? key : `${at}.${key}`;
}
