import { SIGNAL } from "../../ffi/abi/signals.ts";

/**
 * The signals that end runc's first process while it waits for `start` (measured with runc 1.1.5): those that Go's
 * runtime does not survive when its program has not asked for them. All others leave it as it is, and SIGKILL needs no
 * help.
 */
const ENDING: readonly number[] = [
  ...[SIGNAL.SIGHUP, SIGNAL.SIGINT, SIGNAL.SIGQUIT, SIGNAL.SIGILL, SIGNAL.SIGTRAP, SIGNAL.SIGABRT],
  ...[SIGNAL.SIGBUS, SIGNAL.SIGFPE, SIGNAL.SIGSEGV, SIGNAL.SIGTERM],
  ...[SIGNAL.SIGSTKFLT, SIGNAL.SIGSYS],
];

/**
 * Whether a signal ends a container that is only created. The stub in it cannot hear of it: the kernel lets only
 * SIGKILL and SIGSTOP reach the first process of a pid namespace that has no handler (pid_namespaces(7)).
 */
export function endsCreated(signal: number): boolean {
  return ENDING.includes(signal);
}
