import type { Kernel } from "../../ffi/kernel.ts";
import { Pidfd } from "../../ffi/pidfd.ts";
import { openNamespace } from "../../ffi/process_namespaces.ts";
import { readDirectory } from "../../ffi/files.ts";
import { tolerate } from "../../ffi/call.ts";
import { close, statx } from "../../ffi/syscalls/file.ts";
import { AT, AT_FDCWD } from "../../ffi/abi/file_flags.ts";
import { isSyscallError } from "../../ffi/syscall_error.ts";
import { CommandError } from "../cli/command_error.ts";
import { NETNS_DIR, sameFile } from "./netns_directory.ts";

/** A process's network namespace. */
export interface Identified {
  readonly pid: number;
  /** The namespace's inode. */
  readonly netns: number;
  /** Its names, in order; most namespaces have none. */
  readonly names: readonly string[];
}

/**
 * What is deleted since the directory was read, is a link that leads nowhere, or to the namespace of a process that the
 * caller may not look at.
 */
const NO_NAME = ["ENOENT", "ENOTDIR", "ELOOP", "ESRCH", "EACCES"] as const;

/** Tells which names the network namespace of a process has. @throws CommandError when there is none, or it may not be looked at. */
export function identifyNetns(kernel: Kernel, pid: number): Identified {
  using pidfd = openProcess(kernel, pid);
  const fd = openItsNamespace(kernel, pidfd);
  try {
    const netns = kernel.call(statx(fd, "", AT.AT_EMPTY_PATH));
    const names = namesInDirectory(kernel);
    // Links are followed: a link to a process's namespace gives it a name, as for iproute2.
    const stats = kernel.batch(
      names.map((name) =>
        tolerate(statx(AT_FDCWD, `${NETNS_DIR}/${name}`, 0), NO_NAME, "it is no name of this one")
      ),
    );
    const its = names.filter((_, i) => {
      const stat = stats[i];
      return stat !== undefined && sameFile(stat, netns);
    });
    return { pid, netns: Number(netns.ino), names: its.sort() };
  } finally {
    kernel.call(close(fd));
  }
}

function openItsNamespace(kernel: Kernel, pidfd: Pidfd): number {
  try {
    return openNamespace(kernel, pidfd, "net");
  } catch (cause) {
    if (!isSyscallError(cause)) throw cause;
    // Its first thread has: a zombie, or a process of which others go on.
    if (cause.is("ESRCH")) throw new CommandError(`process ${pidfd.pid} has ended`);
    throw new CommandError(`the network namespace of process ${pidfd.pid}`, { cause });
  }
}

function openProcess(kernel: Kernel, pid: number): Pidfd {
  try {
    return Pidfd.open(kernel, pid);
  } catch (cause) {
    // EINVAL, ENOENT: the number of a thread that is not its process's first.
    if (!isSyscallError(cause, "ESRCH", "EINVAL", "ENOENT")) throw cause;
    throw new CommandError(`there is no process ${pid}`);
  }
}

function namesInDirectory(kernel: Kernel): string[] {
  try {
    return readDirectory(kernel, AT_FDCWD, NETNS_DIR).map(({ name }) => name);
  } catch (error) {
    if (isSyscallError(error, "ENOENT")) return []; // nothing has a name yet
    throw error;
  }
}
