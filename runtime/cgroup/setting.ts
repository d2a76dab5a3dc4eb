import type { Kernel } from "../../ffi/kernel.ts";
import { AT_FDCWD } from "../../ffi/abi/file_flags.ts";
import { readFile, writeFile } from "../../ffi/files.ts";
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
  /** What is written instead when the kernel has no such file. */
  readonly otherwise?: { readonly file: string; readonly value: string };
  /**
   * The kernel compares this value with that of the next setting, and may refuse it (EINVAL) only because that one
   * still has its old value: then the next goes first.
   */
  readonly comparedWithNext?: true;
  /** Nothing is written when as much as `limit` is in use, as this file says. */
  readonly checked?: { readonly file: string; readonly limit: bigint };
  /** What to write to have again what the file's text says now; absent: that text. */
  readonly readBack?: (text: string) => string;
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
  const postponed: PlacedSetting[] = [];
  for (const setting of settings) {
    try {
      write(kernel, setting);
    } catch (error) {
      if (setting.comparedWithNext && isSyscallError(error, "EINVAL")) {
        postponed.push(setting);
        continue;
      }
      throw refusal(setting, error);
    }
    for (let again = postponed.pop(); again !== undefined; again = postponed.pop()) {
      try {
        write(kernel, again);
      } catch (error) {
        throw refusal(again, error);
      }
    }
  }
}

/**
 * The settings that would bring back what the files say now, each by itself: in which order they can be had is the
 * caller's to find. What has no file now has nothing to bring back.
 * @throws SyscallError
 */
export function readBack(kernel: Kernel, settings: readonly PlacedSetting[]): PlacedSetting[] {
  return settings.flatMap((setting): PlacedSetting[] => {
    const { directory, field, controller, readBack = (text: string) => text.trim() } = setting;
    const { otherwise } = setting;
    for (const file of [setting.file, ...(otherwise === undefined ? [] : [otherwise.file])]) {
      const text = readIfThere(kernel, `${directory}/${file}`);
      if (text === undefined) continue;
      return [{ directory, field, controller, file, value: readBack(text) }];
    }
    return [];
  });
}

function readIfThere(kernel: Kernel, path: string): string | undefined {
  try {
    return readFile(kernel, AT_FDCWD, path);
  } catch (error) {
    if (isSyscallError(error, "ENOENT")) return undefined;
    throw error;
  }
}

/**
 * Looks whether more is in use than limits would allow that are to be checked before (`checkBeforeUpdate`).
 * @throws {CgroupError}
 */
export function checkSettings(kernel: Kernel, settings: readonly PlacedSetting[]): void {
  for (const { checked, directory, field } of settings) {
    if (checked === undefined) continue;
    const used = BigInt(readFile(kernel, AT_FDCWD, `${directory}/${checked.file}`).trim());
    if (checked.limit > used) continue;
    throw new CgroupError(`${field}: a limit of ${checked.limit} is refused: ${used} are in use`);
  }
}

function write(kernel: Kernel, setting: PlacedSetting): void {
  const { directory, file, value, optional, otherwise } = setting;
  try {
    writeFile(kernel, AT_FDCWD, `${directory}/${file}`, value);
  } catch (error) {
    if (!isSyscallError(error, "ENOENT")) throw error;
    if (otherwise !== undefined) {
      writeFile(kernel, AT_FDCWD, `${directory}/${otherwise.file}`, otherwise.value);
    } else if (!optional) throw error;
    // Some files come with a kernel option (swap accounting): without it there is nothing that had to be limited.
  }
}

function refusal(setting: PlacedSetting, error: unknown): CgroupError {
  const { field, directory, file, otherwise, value } = setting;
  const reason = isSyscallError(error, "ENOENT")
    ? `the kernel has no ${otherwise === undefined ? file : `${file} or ${otherwise.file}`} here`
    : isSyscallError(error, "EBUSY") && file.startsWith("memory.")
    ? "more than that is in use"
    : "the kernel refuses it";
  return new CgroupError(`${field}: cannot write ${value} to ${directory}/${file}: ${reason}`, {
    cause: error,
  });
}
