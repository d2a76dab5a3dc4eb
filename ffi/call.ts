/**
 * System calls as data. `ffi/syscalls/` builds `Call` values, a carrier (Thread, Stub or Recorder: see
 * `kernel.ts`) executes them. A call belongs to one execution: its out-buffers are filled there.
 *
 * @module
 */
import type { SyscallName } from "./abi/syscall_numbers.ts";
import type { ErrnoName } from "./abi/errno.ts";
import type { SyscallError } from "./syscall_error.ts";

/** An argument: an immediate number, bytes to point at, memory to be filled, or an earlier call's result. */
export type Arg =
  | number
  | bigint
  | string
  | Uint8Array
  | Struct
  | Place
  | Loaded
  | Call<number>
  | Shown;

/** A descriptor: its number, the earlier call of the same batch that opens it, or where that call left it. */
export type Fd = number | Call<number> | Loaded;

/** What a pointer field of a `Struct` may hold. */
export type Value = Exclude<Arg, Call<number> | Loaded | Shown>;

/** An argument with the text that `plan`, traces and errors show for it. */
export class Shown {
  /** @param text What people see: `O_PATH|O_CLOEXEC` for 0x280000. */
  constructor(readonly arg: Exclude<Arg, Shown>, readonly text: () => string) {}
}

/** A field of a `Struct`: where it lies, how wide it is, and what stands there. */
export type Field = readonly [offset: number, width: 1 | 2 | 4 | 8, value: Value];

/**
 * Memory with numbers and pointers in it, in the kernel's layout (little-endian on both architectures).
 * With `out` the kernel writes into it, and `bytes` holds what it wrote once the call was made.
 */
export class Struct {
  /** The memory's content: what was given at first, what the kernel left there afterwards. */
  bytes: Uint8Array;

  constructor(
    readonly size: number,
    readonly fields: readonly Field[],
    readonly out = false,
    readonly text?: () => string,
  ) {
    this.bytes = new Uint8Array(size);
  }

  /** The memory as the kernel left it, for reading numbers. */
  view(): DataView {
    return new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength);
  }
}

/** A place inside a `Struct` of the same batch, for calls that share memory (a pidfd written into a message). */
export class Place {
  constructor(readonly struct: Struct, readonly offset: number) {}
}

/** The 64-bit number that an earlier call of the same batch left at a place: a descriptor in a message, say. */
export class Loaded {
  constructor(readonly place: Place) {}

  /** The number, once that earlier call was made. */
  get value(): bigint {
    return this.place.struct.view().getBigUint64(this.place.offset, true);
  }
}

/** Memory that the kernel fills, `size` bytes. */
export function out(size: number): Struct {
  return new Struct(size, [], true);
}

/** What a carrier does when a call fails. */
export type OnFailure =
  /** The batch ends there and the error is thrown. */
  | { readonly kind: "throw" }
  /** These errors are an expected outcome: the batch goes on and the call's result is undefined. */
  | { readonly kind: "tolerate"; readonly errnos: readonly ErrnoName[]; readonly why: string }
  /** Any error is an outcome: the batch goes on and the call's result is the error. */
  | { readonly kind: "attempt" };

const THROW: OnFailure = { kind: "throw" };

/** One system call, its arguments and how to read its result. */
export class Call<R = number> {
  /** What the carrier does when it fails. */
  onFailure: OnFailure = THROW;
  /** Which descriptor a stub serves after the call (see `stub/protocol.ts`); a Thread knows only 0. */
  next = 0n;

  constructor(
    readonly name: SyscallName,
    readonly args: readonly Arg[],
    readonly decode: (result: number) => R,
  ) {}
}

const asNumber = (result: number) => result;
const asNothing = () => {};

/** A call whose result is the number that the kernel returned. */
export function call(name: SyscallName, ...args: readonly Arg[]): Call<number> {
  return new Call(name, args, asNumber);
}

/** A call whose result is only that it succeeded. */
export function effect(name: SyscallName, ...args: readonly Arg[]): Call<void> {
  return new Call<void>(name, args, asNothing);
}

/**
 * The call, with errors that are an expected outcome and not a failure. `why` says what they mean there.
 * Its result is undefined when it failed so.
 */
export function tolerate<R>(
  made: Call<R>,
  errnos: readonly ErrnoName[],
  why: string,
): Call<R | undefined> {
  const tolerant: Call<R | undefined> = made;
  tolerant.onFailure = { kind: "tolerate", errnos, why };
  return tolerant;
}

/** The call, with its error as a result: for probes, and for steps after which the others must still run. */
export function attempt<R>(made: Call<R>): Call<R | SyscallError> {
  const attempted: Call<R | SyscallError> = made;
  attempted.onFailure = { kind: "attempt" };
  return attempted;
}

/** The value without its text. */
export function plain(arg: Arg): Exclude<Arg, Shown> {
  return typeof arg === "object" && arg instanceof Shown ? arg.arg : arg;
}
