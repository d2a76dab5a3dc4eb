import type { Kernel } from "../../ffi/kernel.ts";
import { AT_FDCWD } from "../../ffi/abi/file_flags.ts";
import { writeFile } from "../../ffi/files.ts";
import { isSyscallError } from "../../ffi/syscall_error.ts";
import { CgroupError } from "./cgroup_error.ts";

/** A value for a file of a controller, and which field of config.json asks for it. */
export interface Setting {
  /** `linux.resources.memory.limit` */
  readonly field: string;
  /** `memory` */
  readonly controller: string;
  /** `memory.limit_in_bytes` */
  readonly file: string;
  readonly value: string;
  /** Nothing is lost when the kernel has no such file. */
  readonly optional?: true;
  /**
   * The kernel compares this value with that of the next setting, and may refuse it (EINVAL) only because that one
   * still has its old value: then the next goes first.
   */
  readonly comparedWithNext?: true;
}

/** A setting with the file's directory. */
export interface PlacedSetting extends Setting {
  readonly directory: string;
}

/**
 * Writes the settings in order.
 * @throws {CgroupError} that names the field, the file and the value.
 */
export function applySettings(kernel: Kernel, settings: readonly PlacedSetting[]): void {
  let postponed: PlacedSetting | undefined;
  for (const setting of settings) {
    try {
      write(kernel, setting);
    } catch (error) {
      if (setting.comparedWithNext && isSyscallError(error, "EINVAL")) {
        postponed = setting;
        continue;
      }
      throw refusal(setting, error);
    }
    if (postponed === undefined) continue;
    const again = postponed;
    postponed = undefined;
    try {
      write(kernel, again);
    } catch (error) {
      throw refusal(again, error);
    }
  }
}

function write(kernel: Kernel, { directory, file, value, optional }: PlacedSetting): void {
  try {
    writeFile(kernel, AT_FDCWD, `${directory}/${file}`, value);
  } catch (error) {
    // Some files come with a kernel option (swap accounting): without it there is nothing that had to be limited.
    if (!(optional && isSyscallError(error, "ENOENT"))) throw error;
  }
}

function refusal({ field, directory, file, value }: PlacedSetting, error: unknown): CgroupError {
  const reason = isSyscallError(error, "ENOENT")
    ? `the kernel has no ${file} here`
    : isSyscallError(error, "EBUSY") && file.startsWith("memory.")
    ? "the container's own start needs more than that"
    : "the kernel refuses it";
  return new CgroupError(`${field}: cannot write ${value} to ${directory}/${file}: ${reason}`, {
    cause: error,
  });
}
