import type { Carriers, Remote } from "../../ffi/remote.ts";
import type { Kernel } from "../../ffi/kernel.ts";
import { attempt, tolerate } from "../../ffi/call.ts";
import { Deferring } from "../../ffi/deferring.ts";
import { close, close_range, dup3, fcntl, openat, write } from "../../ffi/syscalls/file.ts";
import { AT_FDCWD, F, FD_CLOEXEC, O } from "../../ffi/abi/file_flags.ts";
import { CommandError } from "../cli/command_error.ts";
import { raiseLimits } from "../process/rlimits.ts";
import type { Process } from "../spec/types.ts";

/** The first descriptor of a fresh stub that is neither stdio nor its conversation. */
const FIRST_INHERITED = 4;
/** What F_GETFD tells of a descriptor that execve closes (fcntl.h). */

/** SCM_MAX_FD is 253 (unix(7)). */
const GIVEN_AT_ONCE = 200;

/**
 * The outer stub: a process in the host's namespaces that becomes, step by step, what the container's first process
 * must be born from. What only the host's root may do (raise limits, open the host's paths, join namespaces that other
 * user namespaces own) is done here, before the user namespace is entered.
 */
export function prepareOuter(
  { thread }: Carriers,
  stub: Remote,
  { oomScoreAdj, rlimits }: Pick<Process, "oomScoreAdj" | "rlimits">,
  preserveFds: number,
): void {
  const steps = new Deferring(stub);
  // What belay itself was given by its caller must not stay open in the container.
  const rest = close_range(FIRST_INHERITED, 0xffffffff, 0);
  steps.post([tolerate(rest, ["ENOSYS"], "before kernel 5.9")]);
  if (preserveFds > 0) {
    steps.flush(); // what is given from here on stays
    giveDescriptors(thread, stub, preserveFds);
  }
  if (oomScoreAdj !== undefined) setOomScoreAdj(steps, oomScoreAdj);
  raiseLimits(steps, rlimits);
  steps.flush();
}

/**
 * Puts copies of belay's own descriptors from 3 on into the stub at the same numbers, before it opens any: so they are
 * in nobody's way, and the container's first process is born with them.
 * @throws CommandError for one that belay was not given.
 */
function giveDescriptors(thread: Kernel, stub: Remote, count: number): void {
  const numbers = Array.from({ length: count }, (_, i) => 3 + i);
  const flags = thread.batch(numbers.map((fd) => attempt(fcntl(fd, F.F_GETFD))));
  // What is close-on-exec is no caller's: Deno, or belay, opened it.
  const missing = numbers.find((_, i) => flags[i] instanceof Error || flags[i] === FD_CLOEXEC);
  if (missing !== undefined) {
    throw new CommandError(`--preserve-fds ${count}: belay was given no descriptor ${missing}`);
  }
  stub.moveAbove(3 + count);
  for (let at = 0; at < count; at += GIVEN_AT_ONCE) {
    const given = stub.give(numbers.slice(at, at + GIVEN_AT_ONCE));
    const copies = stub.batch(given.map((fd) => fcntl(fd, F.F_DUPFD_CLOEXEC, 3 + count)));
    stub.batch(copies.flatMap((copy, i) => [dup3(copy, 3 + at + i), close(copy)]));
  }
}

function setOomScoreAdj(steps: Deferring, value: number): void {
  const opened = openat(AT_FDCWD, "/proc/self/oom_score_adj", O.O_WRONLY);
  steps.post([opened, write(opened, String(value)), close(opened)], (cause) => {
    const why = cause.is("EACCES") ? "; less than belay's own needs CAP_SYS_RESOURCE" : "";
    throw new CommandError(`process.oomScoreAdj: cannot be set to ${value}${why}`, { cause });
  });
}

/** Ends a stub that is our child, and waits until it is gone. Twice is harmless. */
export function letGo(stub: Remote): void {
  stub[Symbol.dispose]();
  if (stub.pidfd.closed) return;
  stub.pidfd.reap();
  stub.pidfd[Symbol.dispose]();
}
