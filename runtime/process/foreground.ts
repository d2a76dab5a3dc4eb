import type { Pidfd } from "../../ffi/pidfd.ts";
import { SIGNAL } from "../../ffi/abi/signals.ts";

/** What belay does for a process of a container while it waits for it; ended by disposing. */
export interface Foreground extends Disposable {
  /** Called before the program begins: a signal that comes with its first word is handed on, too. */
  listen(process: Pidfd): void;
  /** Called once it runs: moves bytes between terminals until it has ended. */
  attach(): void;
  /** Called when it has ended: what its terminal still holds is written out. */
  drain(): Promise<void>;
}

/** How long this thread itself waits first, in which signals to be handed on wait, too. */
const PATIENCE_MS = 5;

/** A shell's exit code for a process that a signal ended. */
const SIGNAL_BASE = 128;

/**
 * The signals that are handed on to the container. Not among them: those that cannot be caught, SIGCHLD (its news
 * comes by pidfd), SIGPIPE and SIGURG (runc's choice, too), and those that V8 needs for itself (SIGSEGV, SIGPROF and their like).
 */
const FORWARDED: readonly Deno.Signal[] = [
  ...["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM"] as const,
  ...["SIGCONT", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGWINCH", "SIGIO", "SIGPWR"] as const,
  ...["SIGXCPU", "SIGXFSZ", "SIGVTALRM", "SIGSTKFLT", "SIGABRT", "SIGTRAP"] as const,
];

/**
 * Hands signals of this process on to the container's first process, until disposed.
 * @param hasIt Tells of a signal that has come whether the other process got it in another way.
 */
export function forwardSignals(
  init: Pidfd,
  except: readonly Deno.Signal[] = [],
  hasIt: (name: Deno.Signal) => boolean = () => false,
): Disposable {
  const handlers = FORWARDED.filter((name) => !except.includes(name)).map((name) => {
    const handler = () => {
      if (!hasIt(name)) init.signal(SIGNAL[name as keyof typeof SIGNAL]);
    };
    Deno.addSignalListener(name, handler);
    return { name, handler };
  });
  return {
    [Symbol.dispose]() {
      for (const { name, handler } of handlers) Deno.removeSignalListener(name, handler);
    },
  };
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
  // Most commands in containers are short: for those no thread is started to wait with.
  if (!init.waitSync(PATIENCE_MS)) await init.wait();
  await foreground.drain();
  const { code, signal = 0 } = init.reap();
  return code ?? SIGNAL_BASE + signal;
}
