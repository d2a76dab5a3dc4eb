/**
 * Terminals (asm-generic/ioctls.h, asm-generic/termbits.h; the same on x86_64 and aarch64).
 *
 * @module
 */

/** Terminal ioctls. */
export const TTY_IOCTL = {
  TCGETS: 0x5401,
  TCSETSW: 0x5403,
  TIOCSCTTY: 0x540e,
  TIOCGWINSZ: 0x5413,
  TIOCSWINSZ: 0x5414,
  TIOCGPTPEER: 0x5441,
  TIOCSPTLCK: 0x40045431,
} as const;

/** struct termios of the kernel: four 32-bit flag words, the line, 19 control characters. */
export const TERMIOS = { iflag: 0, oflag: 4, cflag: 8, lflag: 12, cc: 17, size: 36 } as const;

/** struct winsize: rows, columns, and two more, 16 bits each. */
export const WINSIZE = { rows: 0, columns: 2, size: 8 } as const;

/** Flags of struct termios that raw mode clears or sets (cfmakeraw(3)). */
export const TERMIOS_FLAG = {
  IGNBRK: 0o1,
  BRKINT: 0o2,
  PARMRK: 0o10,
  ISTRIP: 0o40,
  INLCR: 0o100,
  IGNCR: 0o200,
  ICRNL: 0o400,
  IXON: 0o2000,
  OPOST: 0o1,
  ONLCR: 0o4,
  ISIG: 0o1,
  ICANON: 0o2,
  ECHO: 0o10,
  ECHONL: 0o100,
  IEXTEN: 0o100000,
  CSIZE: 0o60,
  PARENB: 0o400,
  CS8: 0o60,
} as const;

/** Places of control characters. */
export const TERMIOS_CC = { VEOF: 4, VTIME: 5, VMIN: 6 } as const;
