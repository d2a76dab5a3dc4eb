import type { Kernel } from "../../ffi/kernel.ts";
import { AT_FDCWD } from "../../ffi/abi/file_flags.ts";
import { readFile } from "../../ffi/files.ts";
import { isSyscallError } from "../../ffi/syscall_error.ts";

/** "max" in a limit of cgroup v2, as runc's JSON has it. */
export const UNLIMITED = 0xffffffffffffffffn;

/**
 * The text of a file of a cgroup; undefined when there is none: no such hierarchy, an older kernel, a container that
 * has just gone.
 * @throws SyscallError
 */
export function readStat(
  kernel: Kernel,
  directory: string | undefined,
  file: string,
): string | undefined {
  if (directory === undefined) return undefined;
  try {
    return readFile(kernel, AT_FDCWD, `${directory}/${file}`);
  } catch (error) {
    // EOPNOTSUPP: a file that another option of the kernel would fill (cpu.stat of a hierarchy without scheduler).
    if (isSyscallError(error, "ENOENT", "ENODEV", "EOPNOTSUPP")) return undefined;
    throw error;
  }
}

/** The first number of a text, 0 without one; "max" is UNLIMITED. */
export function amountOf(text: string | undefined): bigint {
  const word = text?.trim().split(/\s/, 1)[0] ?? "";
  if (word === "max") return UNLIMITED;
  return /^-?\d+$/.test(word) ? BigInt(word) : 0n;
}

/** A flat keyed file (cgroup-v2.rst, "Format"): `name number` lines, by name. Others are left out. */
export function keyed(text: string | undefined): Record<string, bigint> {
  const values: Record<string, bigint> = Object.create(null);
  for (const line of (text ?? "").split("\n").sort()) {
    const [, name = "", value = ""] = /^(\S+) (\d+)$/.exec(line) ?? [];
    if (name !== "") values[name] = BigInt(value);
  }
  return values;
}

/** A list of numbers such as `0-3,7`, each of them; none of what is no such list. */
export function numbersOf(list: string | undefined): number[] {
  return (list ?? "").trim().split(",").flatMap((range) => {
    const [, first, last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(range) ?? [];
    if (first === undefined) return [];
    const length = Math.max(0, Number(last) - Number(first) + 1);
    return Array.from({ length }, (_, i) => Number(first) + i);
  });
}
