import type { Flag } from "./command.ts";

/**
 * The flags of one command line, checked against their descriptions by `parseFlags()`.
 *
 * Asking for a flag that was never described, or for one of another kind, is a mistake in the code
 * and throws a TypeError.
 */
export class ParsedFlags {
  readonly #flags: readonly Flag[];
  readonly #values: ReadonlyMap<string, readonly string[]>;

  /** `values` holds what was given: for a boolean `"true"` or `"false"`. */
  constructor(flags: readonly Flag[], values: ReadonlyMap<string, readonly string[]>) {
    this.#flags = flags;
    this.#values = values;
  }

  /** The value, else the default, else undefined. */
  string(name: string): string | undefined {
    const flag = this.#describe(name, true);
    return this.#values.get(name)?.at(-1) ?? flag.default;
  }

  /** All values of a `repeated` flag, in order; none when it was not given. */
  strings(name: string): readonly string[] {
    const flag = this.#describe(name, true);
    if (flag.repeated !== true) throw new TypeError(`--${name} counts once`);
    return this.#values.get(name) ?? [];
  }

  /** Whether the flag is on. */
  bool(name: string): boolean {
    this.#describe(name, false);
    return this.#values.get(name)?.at(-1) === "true";
  }

  /** The value of a flag with `least`, else its default, else undefined. */
  int(name: string): number | undefined {
    const text = this.string(name);
    return text === undefined ? undefined : Number(text);
  }

  #describe(name: string, takesValue: boolean): Flag {
    const flag = this.#flags.find((each) => each.name === name);
    if (flag === undefined) throw new TypeError(`no flag --${name} is described`);
    if ((flag.value !== undefined) !== takesValue) {
      throw new TypeError(`--${name} is ${takesValue ? "" : "not "}a boolean`);
    }
    return flag;
  }
}
