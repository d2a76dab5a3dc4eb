import { attempt } from "../../../ffi/call.ts";
import type { Carriers, Remote } from "../../../ffi/remote.ts";
import { readFile } from "../../../ffi/files.ts";
import { AT_FDCWD } from "../../../ffi/abi/file_flags.ts";
import { CLONE } from "../../../ffi/abi/process_flags.ts";
import { isSyscallError } from "../../../ffi/syscall_error.ts";
import { close } from "../../../ffi/syscalls/file.ts";
import { setns } from "../../../ffi/syscalls/namespace.ts";
import type { Netns } from "./discover.ts";

/**
 * Reads the names of the links inside of namespaces: through a process that is there, else by a stub that enters. The
 * stub is started when the first namespace needs it.
 */
export class LinkReader implements Disposable {
  #stub: Remote | undefined;

  constructor(private readonly carriers: Carriers) {}

  /** The links' names, in the kernel's order; undefined when none of its processes is there any more. */
  throughProcess(netns: Netns): string[] | undefined {
    for (const { pid, tid } of netns.threads.slice(0, 3)) {
      try {
        const path = `/proc/${pid}/task/${tid}/net/dev`;
        return names(readFile(this.carriers.thread, AT_FDCWD, path));
      } catch (error) {
        // It has ended, or may not be looked at: perhaps another one.
        if (!isSyscallError(error, "ENOENT", "ESRCH", "EINVAL", "EACCES", "EPERM")) throw error;
      }
    }
    return undefined;
  }

  /** The same of a namespace that is open; undefined when it may not be entered. */
  entering(fd: number): string[] | undefined {
    const stub = this.#stub ??= this.carriers.spawn("links");
    const [there = -1] = stub.give([fd]);
    const entered = stub.call(attempt(setns(there, CLONE.CLONE_NEWNET)));
    stub.call(close(there));
    // EPERM: it belongs to a user namespace that is none of ours.
    if (entered instanceof Error) return undefined;
    return names(readFile(stub, AT_FDCWD, "/proc/thread-self/net/dev"));
  }

  /** Lets the stub go. */
  [Symbol.dispose](): void {
    if (this.#stub === undefined) return;
    this.#stub[Symbol.dispose]();
    this.#stub.pidfd.reap();
    this.#stub.pidfd[Symbol.dispose]();
  }
}

/** /proc/net/dev: two lines of headings, then `  name: numbers`. */
function names(text: string): string[] {
  return text.split("\n").slice(2).flatMap((line) => {
    const end = line.indexOf(":");
    return end < 0 ? [] : [line.slice(0, end).trim()];
  });
}
