import { CAPABILITY_NAMES } from "./capability_names.ts";
import { didYouMean } from "./near_miss.ts";
import type { LinuxCapabilities, Process, Rlimit } from "./types.ts";
import { ValidationError } from "./validation_error.ts";

/**
 * Capabilities, resource limits and the terminal. Changes `process` where the specification wants
 * something to be ignored: an unknown or impossible capability, a console size without terminal.
 *
 * @throws {ValidationError}
 */
export function validateProcess(process: Process, warnings: string[]): void {
  if (!process.terminal) delete process.consoleSize;
  dropUngrantable(process.capabilities, warnings);
  validateRlimits(process.rlimits);
}

/**
 * config.md, "Linux Process": a capability that cannot be granted is warned of and not an error.
 * What the kernel would refuse for any process is known here already: effective must be within
 * permitted (capset(2)), ambient within permitted and inheritable (PR_CAP_AMBIENT_RAISE).
 */
function dropUngrantable(sets: LinuxCapabilities, warnings: string[]): void {
  const unknown = new Set<string>();
  for (const set of ["bounding", "permitted", "inheritable", "effective", "ambient"] as const) {
    sets[set] = [...new Set(sets[set])].filter((name, i) => {
      if (CAPABILITY_NAMES.includes(name)) return true;
      if (!unknown.has(name)) {
        const hint = didYouMean(name, CAPABILITY_NAMES);
        warnings.push(`process.capabilities.${set}[${i}]: unknown capability "${name}"${hint}`);
      }
      unknown.add(name);
      return false;
    });
  }
  const keepWithin = (set: "effective" | "ambient", superset: "permitted" | "inheritable") => {
    const dropped = sets[set].filter((name) => !sets[superset].includes(name));
    if (dropped.length === 0) return;
    sets[set] = sets[set].filter((name) => !dropped.includes(name));
    // One line for all: buildah asks for eleven ambient capabilities that nobody could be given.
    const [are, they] = dropped.length === 1 ? ["is", "it is"] : ["are", "they are"];
    const names = dropped.join(", ");
    warnings.push(
      `process.capabilities.${set}: ${names} ${are} dropped: ${they} not in ${superset}`,
    );
  };
  keepWithin("effective", "permitted");
  keepWithin("ambient", "permitted");
  keepWithin("ambient", "inheritable");
}

function validateRlimits(rlimits: readonly Rlimit[]): void {
  for (const [i, { type, soft, hard }] of rlimits.entries()) {
    const first = rlimits.findIndex((other) => other.type === type);
    if (first !== i) {
      throw new ValidationError(
        `process.rlimits[${i}].type`,
        `${type} is there already, as process.rlimits[${first}]; each type may be given once`,
      );
    }
    if (soft > hard) {
      throw new ValidationError(
        `process.rlimits[${i}].soft`,
        `must not be larger than hard, got ${soft} and ${hard}`,
      );
    }
  }
}
