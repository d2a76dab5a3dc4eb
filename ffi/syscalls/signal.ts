/**
 * What signals mean to this process. (To send one takes a pidfd: `process.ts`.)
 *
 * @module
 */
import { type Call, effect, Shown, type Struct } from "../call.ts";
import { signalName } from "../abi/signals.ts";

/** struct sigaction as the kernel has it, on both architectures (asm/signal.h); the libraries' is another one. */
export const SIGACTION = { size: 32, handler: 0, flags: 8, restorer: 16, mask: 24 } as const;

/** SA_* (asm/signal.h). */
export const SA = { SA_RESTORER: 0x04000000, SA_RESTART: 0x10000000 } as const;

/** Bytes of the kernel's sigset_t. */
const SET_SIZE = 8;

/**
 * rt_sigaction(2): what a signal does from now on, and what it did before. EINVAL for SIGKILL and SIGSTOP.
 * @param action A struct sigaction of 32 bytes.
 */
export function rt_sigaction(
  signal: number,
  action: Struct | Uint8Array | 0,
  old: Struct | 0 = 0,
): Call<void> {
  return effect("rt_sigaction", new Shown(signal, () => signalName(signal)), action, old, SET_SIZE);
}
