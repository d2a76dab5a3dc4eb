/**
 * Terminals, by ioctl(2) (ioctl_tty(2), pty(7)).
 *
 * @module
 */
import { type Call, Call as SystemCall, call, effect, type Fd, out, Struct } from "../call.ts";
import { flags, named } from "../show.ts";
import { O } from "../abi/file_flags.ts";
import { TERMIOS, TTY_IOCTL, WINSIZE } from "../abi/tty.ts";

/** A terminal's size in characters. */
export interface WindowSize {
  readonly rows: number;
  readonly columns: number;
}

/** TIOCSPTLCK with 0: lets the other end of a pseudoterminal be opened. */
export function unlockPty(master: Fd): Call<void> {
  const unlocked = new Struct(4, [[0, 4, 0]], false, () => "[0]");
  return effect("ioctl", master, named(TTY_IOCTL.TIOCSPTLCK, TTY_IOCTL), unlocked);
}

/** TIOCGPTPEER, kernel 4.13: opens the other end, whatever its name leads to. */
export function openPeer(master: Fd): Call<number> {
  const open = O.O_RDWR | O.O_NOCTTY | O.O_CLOEXEC;
  return call("ioctl", master, named(TTY_IOCTL.TIOCGPTPEER, TTY_IOCTL), flags(open, O));
}

/** TIOCSCTTY: makes it the controlling terminal of the calling session leader. */
export function becomeControllingTerminal(fd: Fd): Call<void> {
  return effect("ioctl", fd, named(TTY_IOCTL.TIOCSCTTY, TTY_IOCTL), 0);
}

/** TIOCGWINSZ. ENOTTY: no terminal. */
export function getWindowSize(fd: Fd): Call<WindowSize> {
  const size = out(WINSIZE.size);
  return new SystemCall("ioctl", [fd, named(TTY_IOCTL.TIOCGWINSZ, TTY_IOCTL), size], () => ({
    rows: size.view().getUint16(WINSIZE.rows, true),
    columns: size.view().getUint16(WINSIZE.columns, true),
  }));
}

/** TIOCSWINSZ: also sends SIGWINCH to the terminal's foreground processes. */
export function setWindowSize(fd: Fd, { rows, columns }: WindowSize): Call<void> {
  const fields = [[WINSIZE.rows, 2, rows], [WINSIZE.columns, 2, columns]] as const;
  const size = new Struct(WINSIZE.size, fields, false, () => `{${rows}x${columns}}`);
  return effect("ioctl", fd, named(TTY_IOCTL.TIOCSWINSZ, TTY_IOCTL), size);
}

/** TCGETS: a terminal's settings, as bytes of struct termios. ENOTTY: no terminal. */
export function getTermios(fd: Fd): Call<Uint8Array> {
  const termios = out(TERMIOS.size);
  const request = named(TTY_IOCTL.TCGETS, TTY_IOCTL);
  return new SystemCall("ioctl", [fd, request, termios], () => termios.bytes);
}

/** TCSETSW: changes a terminal's settings once all output is written. */
export function setTermios(fd: Fd, termios: Uint8Array): Call<void> {
  return effect("ioctl", fd, named(TTY_IOCTL.TCSETSW, TTY_IOCTL), termios);
}
