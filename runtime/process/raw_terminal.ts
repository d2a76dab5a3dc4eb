import type { Carriers, Remote } from "../../ffi/remote.ts";
import { SIGNAL } from "../../ffi/abi/signals.ts";
import { attempt } from "../../ffi/call.ts";
import { getTermios, setTermios } from "../../ffi/syscalls/tty.ts";
import { TERMIOS, TERMIOS_CC, TERMIOS_FLAG } from "../../ffi/abi/tty.ts";

/** A terminal that hands on every key as it is, until disposed: then it is as it was. */
export interface RawTerminal extends Disposable {
  /** Makes it raw once more, after a shell has had it (SIGCONT). */
  again(): void;
}

/**
 * Makes a terminal raw. A background job is stopped here (SIGTTOU), as any that changes its terminal, until it is in
 * the foreground.
 *
 * Should this process be killed, a stub restores the terminal: it is there before anything is changed. Not where a
 * shell has taken the terminal back by then: the kernel refuses it to the stub, whose process group is in the background
 * and orphaned (EIO), and so no stub meddles with what the shell has set itself.
 * @returns Undefined when the descriptor is no terminal.
 */
export function rawTerminal(carriers: Carriers, fd: number): RawTerminal | undefined {
  const { thread } = carriers;
  const termios = thread.call(attempt(getTermios(fd)));
  if (termios instanceof Error) return undefined;
  const before = termios.slice();
  const raw = rawTermios(before);
  const keeper = carriers.spawn("terminal");
  try {
    keeper.atEnd([setTermios(fd, before)]);
  } catch (error) {
    end(keeper);
    throw error;
  }
  // A window that was closed: nothing is left to set, or to restore.
  const set = (settings: Uint8Array) => void thread.call(attempt(setTermios(fd, settings)));
  set(raw);
  return {
    again: () => set(raw),
    [Symbol.dispose]() {
      set(before);
      end(keeper); // it would do the same once more, when somebody else has the terminal already
    },
  };
}

function end(keeper: Remote): void {
  keeper.pidfd.signal(SIGNAL.SIGKILL);
  keeper.pidfd.reap();
  keeper.pidfd[Symbol.dispose]();
  keeper[Symbol.dispose]();
}

/** Settings under which every key arrives as it is (cfmakeraw(3)), with output processing left on. */
export function rawTermios(termios: Uint8Array): Uint8Array {
  const raw = termios.slice();
  const view = new DataView(raw.buffer);
  const clear = (at: number, bits: number) => {
    view.setUint32(at, view.getUint32(at, true) & ~bits, true);
  };
  const T = TERMIOS_FLAG;
  clear(
    TERMIOS.iflag,
    T.IGNBRK | T.BRKINT | T.PARMRK | T.ISTRIP | T.INLCR | T.IGNCR | T.ICRNL | T.IXON,
  );
  clear(TERMIOS.lflag, T.ECHO | T.ECHONL | T.ICANON | T.ISIG | T.IEXTEN);
  clear(TERMIOS.cflag, T.CSIZE | T.PARENB);
  view.setUint32(TERMIOS.cflag, view.getUint32(TERMIOS.cflag, true) | T.CS8, true);
  raw[TERMIOS.cc + TERMIOS_CC.VMIN] = 1;
  raw[TERMIOS.cc + TERMIOS_CC.VTIME] = 0;
  return raw;
}
