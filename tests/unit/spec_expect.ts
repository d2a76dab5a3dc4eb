import { assertEquals, assertThrows } from "@std/assert";
import { defaultSpec } from "../../runtime/spec/default_spec.ts";
import { type ParsedSpec, parseSpec } from "../../runtime/spec/parse_spec.ts";
import { ValidationError } from "../../runtime/spec/validation_error.ts";

/** A config.json in which a test changes anything, also to what is wrong. */
// deno-lint-ignore no-explicit-any -- a test puts wrong things into arbitrary places
export type Config = any;

/** What parseSpec() makes of the default config.json after `change`. */
export function parsed(change: (config: Config) => void): ParsedSpec {
  const config = structuredClone(defaultSpec());
  change(config);
  return parseSpec(config);
}

/** Expects that the default config.json after `change` is refused with exactly this message. */
export function refuses(change: (config: Config) => void, message: string): void {
  const error = assertThrows(() => parsed(change), ValidationError);
  assertEquals(error.message, message);
  assertEquals(message.startsWith(`${error.field}: `), true, error.field);
}
