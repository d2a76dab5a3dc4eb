import type { Kernel } from "../../ffi/kernel.ts";
import { AT_FDCWD } from "../../ffi/abi/file_flags.ts";
import { readFile } from "../../ffi/files.ts";
import { isSyscallError } from "../../ffi/syscall_error.ts";
import type { LinuxResources } from "../spec/types.ts";
import { ValidationError } from "../spec/validation_error.ts";
import { CgroupError } from "./cgroup_error.ts";
import { modeOf } from "./cgroup_mode.ts";
import { type CgroupDirectory, placed } from "./cgroup_plan.ts";
import { settingsV1 } from "./resources_v1.ts";
import { type Present, settingsV2 } from "./resources_v2.ts";
import { applySettings, checkSettings, readBack } from "./setting.ts";

/**
 * Changes the limits of a container that is there: all of those that are asked for, or none. Devices are not among
 * them. What is not asked for stays as it is.
 *
 * @param directories From state.json.
 * @param announce Tells systemd, where it has the cgroup, once the kernel has taken them: what it writes then is
 * rounded, so they are written once more. When it throws, the old values are back.
 * @throws {ValidationError} for limits that this machine cannot enforce.
 * @throws {CgroupError} when the kernel refuses one; those before it are back.
 */
export function updateCgroup(
  kernel: Kernel,
  directories: readonly CgroupDirectory[],
  resources: LinuxResources,
  announce?: () => void,
): void {
  const mode = modeOf(directories);
  const { early, late } = mode === "v2"
    ? settingsV2(resources, presentOf(kernel, directories, resources))
    : settingsV1(resources);
  const [first] = [...early, ...late];
  if (directories.length === 0 && first !== undefined) {
    throw new ValidationError(
      first.field,
      "the container has no cgroups: it was made where none may be made",
    );
  }
  const settings = [...early, ...late].map((setting) => placed(setting, directories, mode));
  checkSettings(kernel, settings);
  const before = readBack(kernel, settings);
  try {
    applySettings(kernel, settings);
    if (announce === undefined) return;
    announce();
    applySettings(kernel, settings);
  } catch (error) {
    bringBack(kernel, before, error);
    throw error;
  }
}

/**
 * Writes the old values, those that were written last first: the kernel took them once, and takes them in the
 * order in which it let them go. Each is tried, whatever the others do.
 * @throws {CgroupError} that tells both failures.
 */
function bringBack(kernel: Kernel, before: ReturnType<typeof readBack>, reason: unknown): void {
  const failed: string[] = [];
  let rest = before.toReversed();
  // Values that the kernel compares with each other may need a second round.
  for (let round = 0; round < 2 && rest.length > 0; round++) {
    failed.length = 0;
    rest = rest.filter((setting) => {
      try {
        applySettings(kernel, [setting]);
        return false;
      } catch (error) {
        if (!(error instanceof CgroupError)) throw error;
        failed.push(error.message);
        return true;
      }
    });
  }
  if (rest.length === 0) return;
  const what = `an update failed half-way, and old values could not be brought back: ${failed}`;
  throw new CgroupError(what, { cause: reason });
}

/** What is there already of the values that are written together with others. */
function presentOf(
  kernel: Kernel,
  directories: readonly CgroupDirectory[],
  { memory, cpu }: LinuxResources,
): Present {
  const path = directories.find(({ version }) => version === 2)?.path ?? "";
  const read = (file: string, needed: boolean): string => {
    if (!needed) return "max";
    try {
      return readFile(kernel, AT_FDCWD, `${path}/${file}`).trim();
    } catch (error) {
      if (isSyscallError(error, "ENOENT")) return "max"; // no such controller, which is told when it is asked for
      throw error;
    }
  };
  const [quota = "max", period = "100000"] = read("cpu.max", cpu !== undefined).split(" ");
  return {
    memoryMax: amount(read("memory.max", memory !== undefined)),
    quota: amount(quota),
    period: amount(period),
  };
}

function amount(text: string): bigint {
  if (text === "max") return -1n;
  if (/^\d+$/.test(text)) return BigInt(text);
  throw new CgroupError(`no number of cgroup v2: ${JSON.stringify(text)}`);
}
