/**
 * Signals by name (asm-generic/signal.h; x86_64 and aarch64 agree).
 *
 * @module
 */

/** Signal numbers by their full name. */
export const SIGNAL = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGILL: 4,
  SIGTRAP: 5,
  SIGABRT: 6,
  SIGBUS: 7,
  SIGFPE: 8,
  SIGKILL: 9,
  SIGUSR1: 10,
  SIGSEGV: 11,
  SIGUSR2: 12,
  SIGPIPE: 13,
  SIGALRM: 14,
  SIGTERM: 15,
  SIGSTKFLT: 16,
  SIGCHLD: 17,
  SIGCONT: 18,
  SIGSTOP: 19,
  SIGTSTP: 20,
  SIGTTIN: 21,
  SIGTTOU: 22,
  SIGURG: 23,
  SIGXCPU: 24,
  SIGXFSZ: 25,
  SIGVTALRM: 26,
  SIGPROF: 27,
  SIGWINCH: 28,
  SIGIO: 29,
  SIGPWR: 30,
  SIGSYS: 31,
} as const;

/** The first and the last real-time signal that the kernel knows; glibc keeps 32 and 33 for itself. */
export const SIGRTMIN = 34;
/** See SIGRTMIN. */
export const SIGRTMAX = 64;

const ALIASES: Readonly<Record<string, number>> = {
  SIGIOT: 6,
  SIGPOLL: 29,
  SIGCLD: 17,
  SIGUNUSED: 31,
};

/** The name of a signal number; `0` and numbers without a name as they are, real-time ones as `SIGRTMIN+n`. */
export function signalName(number: number): string {
  for (const [name, value] of Object.entries(SIGNAL)) if (value === number) return name;
  if (number >= SIGRTMIN && number <= SIGRTMAX) {
    return number === SIGRTMIN ? "SIGRTMIN" : `SIGRTMIN+${number - SIGRTMIN}`;
  }
  return String(number);
}

/**
 * A signal as people and clients write it: `9`, `KILL`, `SIGKILL`, `sigkill`, `RTMIN+3`, `SIGRTMAX-1`.
 * @returns Its number, or undefined when there is none of that name. 0 is not a signal here.
 */
export function parseSignal(text: string): number | undefined {
  if (/^\d+$/.test(text)) {
    const number = Number(text);
    return number >= 1 && number <= SIGRTMAX ? number : undefined;
  }
  const upper = text.toUpperCase();
  const name = upper.startsWith("SIG") ? upper : `SIG${upper}`;
  const realTime = /^SIGRT(MIN|MAX)(?:([+-])(\d{1,2}))?$/.exec(name);
  if (realTime) {
    const offset = Number(realTime[3] ?? 0) * (realTime[2] === "-" ? -1 : 1);
    const number = (realTime[1] === "MIN" ? SIGRTMIN : SIGRTMAX) + offset;
    return number >= SIGRTMIN && number <= SIGRTMAX ? number : undefined;
  }
  return (SIGNAL as Readonly<Record<string, number>>)[name] ?? ALIASES[name];
}
