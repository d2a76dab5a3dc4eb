import type { Kernel } from "../../ffi/kernel.ts";
import { MNT_DETACH, umount2 } from "../../ffi/syscalls/mount.ts";
import { AT, AT_FDCWD, O } from "../../ffi/abi/file_flags.ts";
import { close, faccessat2, openat, unlinkat } from "../../ffi/syscalls/file.ts";
import { isSyscallError } from "../../ffi/syscall_error.ts";
import { CommandError } from "../cli/command_error.ts";
import { NETNS_DIR, NetnsDirectory, sameFile } from "./netns_directory.ts";
import { NetnsEntry } from "./netns_entry.ts";

/** Mounts of namespaces on one name: nobody makes more than one on purpose, a machine in trouble has some. */
const MOST_MOUNTS = 1000;

/** What was deleted. */
export interface RemovedNetns {
  readonly name: string;
  /** The inode of the namespace that had the name, if one had it. */
  readonly netns?: number;
}

/** unistd.h: what removing a file takes of its directory. */
const [W_OK, X_OK] = [2, 1];

/** As many are held at a time: a descriptor each, of which a process may have 1024. */
const AT_ONCE = 200;

/**
 * Takes the names away. What has each name is looked at before this waits for the lock, and nothing else is taken
 * away: who deletes and adds the same name meanwhile keeps what was added.
 * @param force A name that is not there is no error.
 * @throws AggregateError of everything that could not be done, after all the rest was.
 */
export function removeNetns(
  kernel: Kernel,
  names: readonly string[],
  force: boolean,
): RemovedNetns[] {
  const removed: RemovedNetns[] = [];
  const failures: unknown[] = [];
  const step = (name: string, remove: () => RemovedNetns | undefined) => {
    try {
      const gone = remove();
      if (gone !== undefined) removed.push(gone);
      else if (!force) {
        throw new CommandError(`there is no network namespace ${JSON.stringify(name)}`);
      }
    } catch (error) {
      failures.push(error); // told at the end: the other names must go
    }
  };
  for (let at = 0; at < names.length; at += AT_ONCE) {
    removeSome(kernel, names.slice(at, at + AT_ONCE), step);
  }
  if (failures.length === 1) throw failures[0];
  if (failures.length > 1) throw new AggregateError(failures, "not everything could be deleted");
  return removed;
}

function removeSome(
  kernel: Kernel,
  names: readonly string[],
  step: (name: string, remove: () => RemovedNetns | undefined) => void,
): void {
  const seen = lookAt(kernel, names);
  using _seen = seen; // named twice: see tests/unit/build_using_test.ts
  const entries = [...seen.entries];
  if (entries.every(([, entry]) => entry === undefined)) {
    for (const [name] of entries) step(name, () => undefined);
    return;
  }
  using directory = NetnsDirectory.locked(kernel);
  for (const [name, entry] of entries) {
    step(name, () => entry && removeSeen(kernel, directory, entry));
  }
}

/** Opens what has the names, and so keeps it: no other namespace can get the inode of one that is held. */
function lookAt(
  kernel: Kernel,
  names: readonly string[],
): Disposable & { readonly entries: ReadonlyMap<string, NetnsEntry | undefined> } {
  const entries = new Map<string, NetnsEntry | undefined>();
  const held = {
    entries,
    [Symbol.dispose]() {
      for (const entry of entries.values()) entry?.[Symbol.dispose]();
    },
  };
  const directory = openDirectory(kernel);
  if (directory === undefined) {
    for (const name of names) entries.set(name, undefined);
    return held;
  }
  try {
    for (const name of new Set(names)) entries.set(name, NetnsEntry.open(kernel, directory, name));
  } catch (error) {
    held[Symbol.dispose]();
    throw error;
  } finally {
    kernel.call(close(directory));
  }
  return held;
}

/** The directory, without its lock, to look at; undefined where there is none. */
export function openDirectory(kernel: Kernel): number | undefined {
  try {
    return kernel.call(openat(AT_FDCWD, NETNS_DIR, O.O_RDONLY | O.O_DIRECTORY));
  } catch (error) {
    if (isSyscallError(error, "ENOENT")) return undefined; // nothing has a name yet
    throw error;
  }
}

function removeSeen(
  kernel: Kernel,
  directory: NetnsDirectory,
  seen: NetnsEntry,
): RemovedNetns | undefined {
  const { name, kind, stat } = seen;
  using now = NetnsEntry.open(kernel, directory.fd, name);
  if (now === undefined) return undefined; // somebody else was faster
  if (!sameFile(now.stat, stat)) {
    throw new CommandError(
      `${JSON.stringify(name)} is another network namespace by now: nothing was deleted`,
    );
  }
  if (kind === "foreign") {
    throw new CommandError(`${NETNS_DIR}/${name} is no network namespace: it is left alone`);
  }
  remove(kernel, directory, now);
  return { name, ...(kind === "namespace" ? { netns: Number(stat.ino) } : {}) };
}

/** Takes a name away if that namespace has it. @param directory Locked. */
export function removeEntry(
  kernel: Kernel,
  directory: NetnsDirectory,
  name: string,
  netns: bigint,
): void {
  using entry = NetnsEntry.open(kernel, directory.fd, name);
  if (entry?.kind === "namespace" && entry.stat.ino === netns) remove(kernel, directory, entry);
}

/** Unmounts what is mounted at a name, and removes the file below; neither where the file cannot be removed. */
function remove(kernel: Kernel, directory: NetnsDirectory, entry: NetnsEntry): void {
  kernel.call(faccessat2(directory.fd, ".", W_OK | X_OK, AT.AT_EACCESS));
  if (entry.kind === "namespace") unmount(kernel, entry);
  for (let mounts = 1; entry.kind === "namespace"; mounts++) {
    using below = NetnsEntry.open(kernel, directory.fd, entry.name);
    if (below?.kind !== "namespace" || mounts === MOST_MOUNTS) break;
    unmount(kernel, below);
  }
  try {
    kernel.call(unlinkat(directory.fd, entry.name));
  } catch (error) {
    // `ip netns delete` takes no lock: it was between our two calls.
    if (!isSyscallError(error, "ENOENT")) throw error;
  }
}

/** Unmounts exactly that mount: the way there is its descriptor. */
function unmount(kernel: Kernel, entry: NetnsEntry): void {
  try {
    kernel.call(umount2(entry.path, MNT_DETACH));
  } catch (error) {
    // It is no longer mounted: `ip netns delete` takes no lock, and was faster.
    if (!isSyscallError(error, "EINVAL")) throw error;
  }
}
