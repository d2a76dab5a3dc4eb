/**
 * What a `PinnedThread` and its Worker share: one SharedArrayBuffer, written by whoever's turn it is.
 *
 * @module
 */

/** Whose turn it is: the 32-bit word at the start, the only one that both sides touch at any time. */
export const TURN = {
  /** Nothing is asked; the Worker sleeps. */
  CALLER: 0,
  /** A request is there; the caller sleeps. */
  WORKER: 1,
  /** Nobody will ask again: the Worker ends, in the middle of a request if need be. */
  OVER: 2,
  /** The Worker has ended. */
  ENDED: 3,
} as const;

/** The inode of the namespace that the Worker's thread was in after the calls, 64 bits. */
export const INODE_OFFSET = 8;
/** How many calls there are, 32 bits. */
export const COUNT_OFFSET = 16;
/** The first call. A call is a number, six arguments, and bits that say what is special about it: 64 bits each. */
export const CALLS_OFFSET = 64;
/** Bytes of a call. Its number is replaced by its result. */
export const CALL_SIZE = 64;
/** Where a call's arguments start. */
export const ARGS_OFFSET = 8;
/** Where a call's bits are: bit i, argument i is an address in this memory at which the value is; and `CARRY_ON`. */
export const HOW_OFFSET = 56;
/** The next call is made also when this one fails. */
export const CARRY_ON = 1 << 8;

/** Bytes of the memory, arguments and out-buffers included. */
export const SHARED_SIZE = 0x20000;

/** What the Worker says when it has entered. */
export interface Hello {
  /** The result of setns(2) or unshare(2): 0, or the error number negated. */
  readonly entered: number;
  /** The namespace that its thread is in, 0 when /proc cannot tell. */
  readonly inode: number;
  /** Its thread. */
  readonly tid: number;
}
