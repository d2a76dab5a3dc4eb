/**
 * The numbers that the stub's sources, its linker script and its driver share.
 * The protocol itself is told in `x86_64.S`.
 *
 * @module
 */

/** Bytes of the stub's receive buffer: no request or answer is longer. */
export const STUB_BUFFER_SIZE = 0x30000;

/** Where the stub's receive buffer lies in the stub's address space: every pointer in a request starts here. */
export const STUB_BUFFER_ADDRESS = 0x500000n;

/** Where a memfd is mapped that carries what does not fit into a request. */
export const STUB_OVERFLOW_ADDRESS = 0x10000000n;

/** The descriptor that a stub serves when it starts. */
export const STUB_FD = 3;

/** Bytes before the first call of a request: its count. */
export const REQUEST_HEADER_SIZE = 8;

/** Bytes of one call in a request: nr, how, six arguments, next. */
export const REQUEST_CALL_SIZE = 64;

/** `how`, bit 31: go on with the next call when this one fails. */
export const HOW_CARRY_ON = 0x80000000;

/** `next`: the result is a descriptor; serve that one from now on. */
export const NEXT_ADOPT = -1n;
