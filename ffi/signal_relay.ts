/**
 * Hands signals of this process on to another one inside of the signal handler itself: a few instructions of machine
 * code (`signal_relay/`), which make one system call on whichever thread the signal interrupts. So a signal arrives
 * while this process is blocked in a system call, too, and needs neither an event loop nor JavaScript; and real-time
 * signals, which Deno.addSignalListener does not take, arrive as often as they were sent.
 *
 * @module
 */
import type { Kernel } from "./kernel.ts";
import type { Pidfd } from "./pidfd.ts";
import { out, Struct } from "./call.ts";
import { memoryAt } from "./libc.ts";
import { unobserved } from "./observer.ts";
import { SIGNAL_RELAY } from "./signal_relay/bytes.ts";
import { DISTANCE, RESTORER } from "./signal_relay/layout.ts";
import { mmapAnonymous, mprotect, munmap, PROT } from "./syscalls/memory.ts";
import { rt_sigaction, SA, SIGACTION } from "./syscalls/signal.ts";

/** The handler and the descriptor that it signals, mapped once and for as long as this process lives. */
interface Mapped {
  readonly handler: bigint;
  /** The pidfd; -1 is nobody's. The handler reads it by one load. */
  readonly pidfd: Int32Array;
}

let mapped: Mapped | undefined;
let busy = false;

/**
 * Hands signals on to a process from now on, until disposed; then they mean again what they meant before. One at a
 * time. The pidfd must stay open until then.
 * @param signals Their numbers. Not those that a processor raises, such as SIGSEGV: the handler would return to the
 * instruction that raised it, for ever.
 * @throws SyscallError EACCES where a security module forbids memory to become executable; Deno itself needs that, too.
 * EINVAL for a number that is no signal, or one that cannot be caught: then none is handed on.
 */
export function relaySignals(
  kernel: Kernel,
  process: Pidfd,
  signals: readonly number[],
): Disposable {
  if (busy) throw new Error("signals are handed on to another process already");
  const { handler, pidfd } = mapped ??= map(kernel);
  busy = true;
  pidfd[0] = process.fd;
  const action = new Struct(SIGACTION.size, [
    [SIGACTION.handler, 8, handler],
    [SIGACTION.flags, 8, SA.SA_RESTART | SA.SA_RESTORER],
    [SIGACTION.restorer, 8, handler + BigInt(RESTORER)],
    [SIGACTION.mask, 8, 0xffffffffffffffffn],
  ]);
  const before: Struct[] = [];
  const undo = () => {
    unobserved(() => {
      before.forEach((old, i) => kernel.call(rt_sigaction(signals[i] ?? 0, old.bytes ?? 0)));
    });
    // Not before: a signal of this moment, to a process that has ended, is nobody's.
    pidfd[0] = -1;
    busy = false;
  };
  try {
    // Some fifty calls that fail only for a number that is no signal, and that say nothing: in a trace they would hide
    // the others.
    unobserved(() => {
      for (const signal of signals) {
        const old = out(SIGACTION.size);
        kernel.call(rt_sigaction(signal, action, old));
        before.push(old);
      }
    });
  } catch (error) {
    undo();
    throw error;
  }
  return {
    [Symbol.dispose]() {
      if (busy) undo();
    },
  };
}

function map(kernel: Kernel): Mapped {
  const address = BigInt(kernel.call(mmapAnonymous(2 * DISTANCE)));
  const memory = memoryAt(address, 2 * DISTANCE);
  const code = SIGNAL_RELAY[Deno.build.arch];
  const bytes = new Uint8Array(memory);
  for (let i = 0; i < code.length / 2; i++) bytes[i] = parseInt(code.slice(i * 2, i * 2 + 2), 16);
  const pidfd = new Int32Array(memory, DISTANCE, 1);
  pidfd[0] = -1;
  try {
    // On aarch64 it is this call that makes the processor see the code: the kernel cleans the caches of a page that
    // becomes executable (arm64, __sync_icache_dcache).
    kernel.call(mprotect(address, DISTANCE, PROT.PROT_READ | PROT.PROT_EXEC));
  } catch (error) {
    kernel.call(munmap(address, 2 * DISTANCE));
    throw error;
  }
  return { handler: address, pidfd };
}
