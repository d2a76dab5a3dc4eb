/**
 * Hearing of processes that end because a container has no memory left.
 *
 * @module
 */
import type { Kernel } from "../../ffi/kernel.ts";
import { attempt } from "../../ffi/call.ts";
import { AT_FDCWD, O } from "../../ffi/abi/file_flags.ts";
import { writeFile } from "../../ffi/files.ts";
import { isSyscallError } from "../../ffi/syscall_error.ts";
import { close, openat, read } from "../../ffi/syscalls/file.ts";
import {
  eventfd2,
  IN,
  inotify_add_watch,
  inotify_init1,
  POLL,
  ppoll,
} from "../../ffi/syscalls/event.ts";
import type { CgroupDirectory } from "./cgroup_plan.ts";
import { keyed, readStat } from "./stat_files.ts";

/** Somebody who listens; `using` ends it. */
export interface OomWatch extends Disposable {
  /** Readable when there may be news. */
  readonly fd: number;
  /** Whether the container has run out of memory since the last look. @throws SyscallError */
  look(): boolean;
}

/** How long the kernel may take from a cgroup's removal until it says so. */
const FAREWELL_MS = 500;

/** Begins to listen; undefined where no controller counts the container's memory, or when it has just gone. */
export function watchOom(
  kernel: Kernel,
  directories: readonly CgroupDirectory[],
): OomWatch | undefined {
  const directory = directories.find(({ controllers }) => controllers.includes("memory"));
  if (directory === undefined) return undefined;
  const watch = directory.version === 1 ? EventfdWatch : InotifyWatch;
  try {
    return new watch(kernel, directory.path);
  } catch (error) {
    if (isSyscallError(error, "ENOENT", "ENODEV")) return undefined;
    throw error;
  }
}

/** Whether a read would not wait, or when it would not for some time. */
function readable(kernel: Kernel, fd: number, timeoutMs = 0): boolean {
  const [events = 0] = kernel.call(ppoll([{ fd, events: POLL.POLLIN }], timeoutMs));
  return events !== 0;
}

/**
 * cgroup v1 (memory.rst, "OOM Control"): an eventfd that the kernel counts up, also once when the cgroup is removed.
 * Who is told nothing but numbers has to find out which of them is that one.
 */
class EventfdWatch implements OomWatch {
  readonly fd: number;

  constructor(private readonly kernel: Kernel, private readonly path: string) {
    this.fd = kernel.call(eventfd2());
    try {
      const control = kernel.call(openat(AT_FDCWD, `${path}/memory.oom_control`, O.O_RDONLY));
      try {
        writeFile(kernel, AT_FDCWD, `${path}/cgroup.event_control`, `${this.fd} ${control}`);
      } finally {
        kernel.call(close(control));
      }
    } catch (error) {
      kernel.call(close(this.fd));
      throw error;
    }
  }

  look(): boolean {
    let times = this.#count();
    if (times === 0n) return false;
    if (readStat(this.kernel, this.path, "memory.oom_control") !== undefined) return true;
    // The cgroup is gone: one of the signals said so, or is about to.
    if (times === 1n && readable(this.kernel, this.fd, FAREWELL_MS)) times += this.#count();
    return times > 1n;
  }

  #count(): bigint {
    if (!readable(this.kernel, this.fd)) return 0n;
    const bytes = this.kernel.call(read(this.fd, 8));
    return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  }

  [Symbol.dispose](): void {
    this.kernel.call(close(this.fd));
  }
}

/** cgroup v2 (cgroup-v2.rst, memory.events): a file that changes, and counts those that were killed. */
class InotifyWatch implements OomWatch {
  readonly fd: number;
  #seen: bigint;

  constructor(private readonly kernel: Kernel, private readonly path: string) {
    this.fd = kernel.call(inotify_init1());
    try {
      kernel.call(inotify_add_watch(this.fd, `${path}/memory.events`, IN.IN_MODIFY));
      this.#seen = this.#killed() ?? 0n;
    } catch (error) {
      kernel.call(close(this.fd));
      throw error;
    }
  }

  look(): boolean {
    // What the events say does not matter: the count does. The kernel may send them a moment after it has counted.
    for (;;) {
      const events = this.kernel.call(attempt(read(this.fd, 4096)));
      if (events instanceof Error) {
        if (!events.is("EAGAIN")) throw events;
        break;
      }
    }
    const killed = this.#killed() ?? this.#seen;
    const more = killed > this.#seen;
    this.#seen = killed;
    return more;
  }

  #killed(): bigint | undefined {
    const text = readStat(this.kernel, this.path, "memory.events");
    return text === undefined ? undefined : keyed(text).oom_kill;
  }

  [Symbol.dispose](): void {
    this.kernel.call(close(this.fd));
  }
}
