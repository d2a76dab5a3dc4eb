import { ERRNO, type ErrnoName, errnoName, strerror } from "./abi/errno.ts";

/** A system call that failed: which, with which arguments, and why. */
export class SyscallError extends Error {
  override readonly name = "SyscallError";
  /** The kernel's name of the call: `openat2`. */
  readonly syscall: string;
  /** The error number, positive. */
  readonly errno: number;
  /** The error's name: `ENOENT`. */
  readonly code: string;
  /** The call as `belay plan` would print it. */
  readonly shown: string;

  /** The call itself, when a carrier made it. */
  made?: object;

  /** The message reads `openat2(7, "etc", …): no such file or directory (ENOENT)`. */
  constructor(syscall: string, errno: number, shown: string, options?: ErrorOptions) {
    super(`${shown}: ${strerror(errno)} (${errnoName(errno)})`, options);
    this.syscall = syscall;
    this.errno = errno;
    this.code = errnoName(errno);
    this.shown = shown;
  }

  /**
   * The error as a value: for a call whose failure is one of its results. It has no stack, because nobody throws it,
   * and its texts are made when somebody reads them: the first stack of a program costs V8 milliseconds.
   */
  static asValue(syscall: string, errno: number, show: () => string): SyscallError {
    return Object.create(SyscallError.prototype, {
      name: { value: "SyscallError" },
      syscall: { value: syscall },
      errno: { value: errno },
      code: { get: () => errnoName(errno) },
      shown: { get: show },
      message: { get: () => `${show()}: ${strerror(errno)} (${errnoName(errno)})` },
    });
  }

  /** Whether the error is one of these. */
  is(...names: readonly ErrnoName[]): boolean {
    return names.some((name) => ERRNO[name] === this.errno);
  }
}

/** Whether something caught is a SyscallError, with one of these error numbers when any are given. */
export function isSyscallError(
  error: unknown,
  ...names: readonly ErrnoName[]
): error is SyscallError {
  return error instanceof SyscallError && (names.length === 0 || error.is(...names));
}
