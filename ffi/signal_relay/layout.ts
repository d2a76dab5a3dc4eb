/**
 * The numbers that the signal handler's sources and whoever maps it share.
 *
 * @module
 */

/** From the handler to the pidfd: whole pages, of 64 KiB on some aarch64 kernels. */
export const DISTANCE = 0x10000;

/** From the handler to where it returns. */
export const RESTORER = 0x20;
