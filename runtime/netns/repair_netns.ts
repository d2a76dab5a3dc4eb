import type { Kernel } from "../../ffi/kernel.ts";
import { readDirectory } from "../../ffi/files.ts";
import { unlinkat } from "../../ffi/syscalls/file.ts";
import { isSyscallError } from "../../ffi/syscall_error.ts";
import { NetnsDirectory } from "./netns_directory.ts";
import { NetnsEntry } from "./netns_entry.ts";
import { OWN_FILE_MODE } from "./publish_netns.ts";

/** What is wrong with a name, and what was done about it. */
export interface Repair {
  readonly name: string;
  readonly problem: string;
  readonly repaired: boolean;
  /** Why it was left as it is. */
  readonly why?: string;
}

/**
 * How long `ip netns add` may take between making a file and mounting a namespace on it, which it does without a lock.
 * What takes longer fails there with an error, and leaves nothing.
 */
const UNDER_WAY_S = 10;
const PERMISSIONS = 0o7777;

/**
 * Finds names without a namespace, which commands leave that are ended in the middle, and takes them away: those of
 * belay's at once, because whoever holds the lock knows that no belay is about to use them; others when they are old
 * enough.
 * @param force Also those that may be in use this very moment.
 * @param only `look`: tells what is wrong and takes nothing away; then there is no reason why it was not. `name`: just
 * this one.
 * @throws SyscallError
 */
export function repairNetns(
  kernel: Kernel,
  now: Date,
  force: boolean,
  only: { readonly look?: true; readonly name?: string } = {},
): Repair[] {
  let locked;
  try {
    locked = NetnsDirectory.locked(kernel);
  } catch (error) {
    if (isSyscallError(error, "ENOENT")) return []; // nothing ever had a name
    throw error;
  }
  using directory = locked;
  const names = readDirectory(kernel, directory.fd, ".").map(({ name }) => name)
    .filter((name) => only.name === undefined || name === only.name).sort();
  return names.flatMap((name): Repair[] => {
    using entry = NetnsEntry.open(kernel, directory.fd, name);
    if (entry === undefined) {
      if (!name.includes("\ufffd")) return []; // `ip netns delete` takes no lock
      const why = "belay cannot say it";
      return [{ name, problem: "the name is no UTF-8", repaired: false, why }];
    }
    if (entry.kind === "foreign") {
      const why = "it may be somebody's";
      return [{ name, problem: "it is no network namespace", repaired: false, why }];
    }
    if (entry.kind !== "empty file") return [];
    const problem = "no namespace is mounted on it: whoever added or deleted it was interrupted";
    const why = force ? undefined : inUse(entry, now);
    if (why !== undefined) return [{ name, problem, repaired: false, why }];
    if (only.look !== true) remove(kernel, directory, name);
    return [{ name, problem, repaired: only.look !== true }];
  });
}

/** Why a file may be one on which a namespace is about to be mounted; undefined when it is not. */
function inUse({ stat }: NetnsEntry, now: Date): string | undefined {
  if ((stat.mode & PERMISSIONS) === OWN_FILE_MODE) return undefined;
  const age = now.getTime() / 1000 - Number(stat.mtime.seconds);
  if (age >= UNDER_WAY_S) return undefined;
  return `it is younger than ${UNDER_WAY_S} seconds: an "ip netns add" may be about to use it`;
}

function remove(kernel: Kernel, directory: NetnsDirectory, name: string): void {
  try {
    kernel.call(unlinkat(directory.fd, name));
  } catch (error) {
    // `ip netns delete` takes no lock: it was faster.
    if (!isSyscallError(error, "ENOENT")) throw error;
  }
}
