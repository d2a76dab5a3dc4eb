import { Host } from "../../ffi/host.ts";
import { Call, out } from "../../ffi/call.ts";
import type { Remote } from "../../ffi/remote.ts";
import { AT_FDCWD, O } from "../../ffi/abi/file_flags.ts";
import { CLONE, P, WAIT } from "../../ffi/abi/process_flags.ts";
import { MS_PRIVATE, MS_REC } from "../../ffi/abi/mount_flags.ts";
import { chdir, close, dup3, openat } from "../../ffi/syscalls/file.ts";
import { MNT_DETACH, mount, umount2 } from "../../ffi/syscalls/mount.ts";
import { unshare } from "../../ffi/syscalls/namespace.ts";
import { execve } from "../../ffi/syscalls/process.ts";

/** struct rusage (sys/resource.h): its size, where the two times are (struct timeval) and ru_maxrss, in kB. */
const RUSAGE = { size: 144, utime: 0, stime: 16, maxrss: 32 } as const;
/** si_status in siginfo_t. */
const SI_STATUS = 24;

/** One run of a program, from its execve to its end. */
export interface Measured {
  readonly ms: number;
  /** What it and the children it waited for took of the processors: others on the machine do not change it much. */
  readonly cpuMs: number;
  /** The largest resident size of it or of one of the children it waited for, in kB. */
  readonly peakKb: number;
  /** Its exit code, or the number of the signal that ended it. */
  readonly status: number;
}

/** How a program is run. */
export interface Program {
  /** The program's absolute path, and its arguments. */
  readonly words: readonly string[];
  readonly cwd: string;
}

/**
 * Runs programs and measures them: the clock runs from execve in a process of one thread and a few
 * kB to the end of it. So neither Deno's way of starting children is measured, nor (as with
 * posix_spawn, in whose children ru_maxrss begins with the parent's) Deno's own memory.
 */
export class Meter implements Disposable {
  readonly #host = new Host("/tmp");
  readonly #stub: Remote;

  /** @param hidden A mount point that the programs are not to see: they get a mount namespace without it. */
  constructor(hidden?: string) {
    this.#stub = this.#host.spawn("meter");
    if (hidden === undefined) return;
    this.#stub.batch([
      unshare(CLONE.CLONE_NEWNS),
      mount(0, "/", 0, MS_REC | MS_PRIVATE),
      umount2(hidden, MNT_DETACH),
    ]);
  }

  /** Runs a program to its end; its output goes nowhere, its errors come here. */
  run({ words, cwd }: Program): Measured {
    const [program = ""] = words;
    // Ours and not the stub's, so that we wait for it.
    using child = this.#stub.clone("measured", { flags: CLONE.CLONE_PARENT, exitSignal: 0 });
    using pidfd = child.pidfd;
    const nowhere = openat(AT_FDCWD, "/dev/null", O.O_RDWR);
    child.batch([nowhere, dup3(nowhere, 0), dup3(nowhere, 1), close(nowhere), chdir(cwd)]);
    const start = performance.now();
    child.exec([execve(program, words, ENVIRONMENT)]);
    pidfd.waitSync();
    const ms = performance.now() - start;
    const [info, usage] = [out(128), out(RUSAGE.size)];
    this.#host.thread.call(
      new Call("waitid", [P.P_PIDFD, pidfd.fd, info, WAIT.WEXITED, usage], () => {}),
    );
    const read = (offset: number) => Number(usage.view().getBigUint64(offset, true));
    const time = (offset: number) => read(offset) * 1000 + read(offset + 8) / 1000;
    const cpuMs = time(RUSAGE.utime) + time(RUSAGE.stime);
    return {
      ms,
      cpuMs,
      peakKb: read(RUSAGE.maxrss),
      status: info.view().getInt32(SI_STATUS, true),
    };
  }

  /** Ends the stub behind it. */
  [Symbol.dispose](): void {
    this.#stub[Symbol.dispose]();
    this.#stub.pidfd.reap();
    this.#stub.pidfd[Symbol.dispose]();
  }
}

const ENVIRONMENT = ["PATH", "HOME"].map((name) => `${name}=${Deno.env.get(name) ?? ""}`);

/** The middle one of some numbers. */
export function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? NaN;
}
