/**
 * Processes: making, replacing, waiting for and signalling them.
 *
 * @module
 */
import {
  type Call,
  Call as SystemCall,
  call,
  effect,
  type Fd,
  out,
  Place,
  Struct,
  type Value,
} from "../call.ts";
import { flags, named, showFlags, showText } from "../show.ts";
import { CLONE, P, PR, PR_CAP_AMBIENT, RLIMIT, WAIT } from "../abi/process_flags.ts";
import { signalName } from "../abi/signals.ts";
import { Shown } from "../call.ts";

/** What clone3(2) is asked for (linux/sched.h, struct clone_args; here its first 88 bytes). */
export interface CloneArgs {
  readonly flags: number;
  /** Where the kernel writes the child's pidfd, a 32-bit number, with CLONE_PIDFD. */
  readonly pidfd?: Place;
  /** What the parent gets when the child ends; 0 with CLONE_PARENT (the parent's own is taken). */
  readonly exitSignal?: number;
  /** The cgroup2 directory that the child is born in, with CLONE_INTO_CGROUP (kernel 5.7). */
  readonly cgroup?: number;
}

/**
 * clone3(2), kernel 5.3, without sharing memory: a fork with namespaces. 0 in the child, its pid in the parent.
 * EPERM: namespaces need CAP_SYS_ADMIN; EUSERS, ENOSPC: a limit of /proc/sys/user; EAGAIN: pids.max or RLIMIT_NPROC.
 */
export function clone3(args: CloneArgs): Call<number> {
  const pidfd: Value = args.pidfd ?? 0;
  const text = () => `{${showFlags(args.flags, CLONE)}}`;
  const struct = new Struct(
    88,
    [[0, 8, args.flags], [8, 8, pidfd], [32, 8, args.exitSignal ?? 0], [80, 8, args.cgroup ?? 0]],
    false,
    text,
  );
  return call("clone3", struct, 88);
}

/** A NULL-ended array of strings. */
function vector(strings: readonly string[]): Struct {
  const fields = strings.map((text, i) => [i * 8, 8, text] as const);
  const text = () =>
    `[${strings.slice(0, 8).map(showText).join(", ")}${strings.length > 8 ? ", …" : ""}]`;
  return new Struct((strings.length + 1) * 8, fields, false, text);
}

/**
 * execve(2). Returns only when it failed: ENOENT (also a missing interpreter), EACCES, ENOEXEC, E2BIG, ENOMEM, …
 */
export function execve(
  path: string,
  argv: readonly string[],
  envp: readonly string[],
): Call<number> {
  return call("execve", path, vector(argv), vector(envp));
}

/** exit_group(2). */
export function exit_group(status: number): Call<void> {
  return effect("exit_group", status);
}

/** How a process ended (waitid(2), siginfo_t). */
export interface ExitStatus {
  readonly pid: number;
  /** Its exit code, or undefined when a signal ended it. */
  readonly code?: number;
  /** The signal that ended it. */
  readonly signal?: number;
}

const CLD_EXITED = 1;

/** Reads a siginfo_t of SIGCHLD: undefined when nothing has ended yet (WNOHANG). */
function decodeSiginfo(view: DataView): ExitStatus | undefined {
  if (view.getInt32(0, true) === 0) return undefined;
  const pid = view.getInt32(16, true);
  const status = view.getInt32(24, true);
  return view.getInt32(8, true) === CLD_EXITED ? { pid, code: status } : { pid, signal: status };
}

/**
 * waitid(2) with P_PIDFD, kernel 5.4: how a child ended, and with that it is reaped. ECHILD: not our child, or
 * reaped already.
 */
export function waitid(pidfd: Fd, options: number): Call<ExitStatus | undefined> {
  const info = out(128);
  return new SystemCall(
    "waitid",
    [named(P.P_PIDFD, P), pidfd, info, flags(options, WAIT), 0],
    () => decodeSiginfo(info.view()),
  );
}

/** pidfd_open(2), kernel 5.3. ESRCH: no such process. Trust the number only for a child that nobody else reaps. */
export function pidfd_open(pid: number): Call<number> {
  return call("pidfd_open", pid, 0);
}

/** pidfd_send_signal(2), kernel 5.1; signal 0 only asks whether the process is alive. ESRCH: it has ended. */
export function pidfd_send_signal(pidfd: Fd, signal: number): Call<void> {
  return effect("pidfd_send_signal", pidfd, new Shown(signal, () => signalName(signal)), 0, 0);
}

/** pidfd_getfd(2), kernel 5.6: a copy of another process's descriptor. Needs ptrace access. */
export function pidfd_getfd(pidfd: Fd, fd: number): Call<number> {
  return call("pidfd_getfd", pidfd, fd, 0);
}

/** prctl(2) with up to four numbers. */
export function prctl(
  option: number,
  ...args: readonly (number | bigint | string)[]
): Call<number> {
  const [first, ...rest] = args;
  const shown = option === PR.PR_CAP_AMBIENT && typeof first === "number"
    ? named(first, PR_CAP_AMBIENT)
    : first ?? 0;
  return call("prctl", named(option, PR), shown, ...rest, ...[0, 0, 0].slice(rest.length));
}

/** setsid(2): the caller leads a new session and process group. */
export function setsid(): Call<number> {
  return call("setsid");
}

/** prlimit64(2) on the calling process: sets a limit. Values up to 2^64-1, which is RLIM_INFINITY. */
export function prlimit64(resource: number, limit: { soft: bigint; hard: bigint }): Call<void> {
  const text = () => `{${limit.soft}, ${limit.hard}}`;
  const struct = new Struct(16, [[0, 8, limit.soft], [8, 8, limit.hard]], false, text);
  return effect("prlimit64", 0, named(resource, RLIMIT), struct, 0);
}

/** prlimit64(2) on the calling process: reads a limit. */
export function getrlimit(resource: number): Call<{ soft: bigint; hard: bigint }> {
  const old = out(16);
  return new SystemCall("prlimit64", [0, named(resource, RLIMIT), 0, old], () => ({
    soft: old.view().getBigUint64(0, true),
    hard: old.view().getBigUint64(8, true),
  }));
}

/** getpid(2). */
export function getpid(): Call<number> {
  return call("getpid");
}

/** Execution domains (linux/personality.h). */
export const PER = { PER_LINUX: 0, PER_LINUX32: 8 } as const;

/** personality(2): the domain that was. EINVAL: the processor cannot (aarch64 without 32-bit programs). */
export function personality(domain: number): Call<number> {
  return call("personality", named(domain, PER));
}
