import type { Pidfd } from "../../ffi/pidfd.ts";
import type { Kernel } from "../../ffi/kernel.ts";
import { relaySignals } from "../../ffi/signal_relay.ts";
import { SIGNAL, SIGRTMAX, SIGRTMIN } from "../../ffi/abi/signals.ts";

/** What belay does for a process of a container while it waits for it; ended by disposing. */
export interface Foreground extends Disposable {
  /** How long this thread itself waits for the process's end, without its event loop; undefined: until it comes. */
  readonly patienceMs: number | undefined;
  /** Called before the program begins: a signal that comes with its first word is handed on, too. */
  listen(process: Pidfd): void;
  /** Called once it runs: moves bytes between terminals until it has ended. */
  attach(): void;
  /** Called when it has ended: what its terminal still holds is written out. */
  drain(): Promise<void>;
}

/** A shell's exit code for a process that a signal ended. */
const SIGNAL_BASE = 128;

/**
 * The signals that are handed on to the container. Not among them: those that cannot be caught, SIGCHLD (its news
 * comes by pidfd), SIGPIPE and SIGURG (runc's choice, too), those that a processor raises when belay itself makes a
 * mistake (SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGSYS), and the two that glibc keeps for itself (32, 33).
 */
const FORWARDED: readonly (keyof typeof SIGNAL)[] = [
  ...["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM"] as const,
  ...["SIGCONT", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGWINCH", "SIGIO", "SIGPWR"] as const,
  ...["SIGXCPU", "SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGSTKFLT", "SIGABRT", "SIGTRAP"] as const,
];

/**
 * Hands signals of this process on to the container's process, until disposed. One that comes before the program's
 * first instruction meets the stub, on which it acts as it would on the program at that instruction.
 *
 * Where Deno is to listen for a signal, too, it must do so before: it puts its own handlers in these ones' place.
 */
export function forwardSignals(
  kernel: Kernel,
  process: Pidfd,
  except: readonly (keyof typeof SIGNAL)[] = [],
): Disposable {
  const numbers: number[] = [];
  for (const name of FORWARDED) if (!except.includes(name)) numbers.push(SIGNAL[name]);
  for (let number = SIGRTMIN; number <= SIGRTMAX; number++) numbers.push(number);
  return relaySignals(kernel, process, numbers);
}

/**
 * Waits until a process of a container, a child of ours, has ended, and reaps it.
 * @returns Its exit code, or 128+n when signal n ended it.
 */
export async function waitForProcess(
  init: Pidfd,
  foreground: Foreground,
): Promise<number> {
  foreground.attach();
  if (!init.waitSync(foreground.patienceMs)) await init.wait();
  await foreground.drain();
  const { code, signal = 0 } = init.reap();
  return code ?? SIGNAL_BASE + signal;
}
