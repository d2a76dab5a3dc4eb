/**
 * The Worker of a `PinnedThread`: it enters a network namespace, then it makes system calls, one request after the
 * other, and never anything asynchronous. Its name says what it enters: `fd 7`, or `new`.
 *
 * @module
 */
import { ERRNO } from "../abi/errno.ts";
import { AT_FDCWD } from "../abi/file_flags.ts";
import { CLONE } from "../abi/process_flags.ts";
import { syscallNumber } from "../abi/syscall_numbers.ts";
import { addressOf, type Registers, syscall } from "../libc.ts";
import {
  ARGS_OFFSET,
  CALL_SIZE,
  CALLS_OFFSET,
  CARRY_ON,
  COUNT_OFFSET,
  type Hello,
  HOW_OFFSET,
  INODE_OFFSET,
  TURN,
} from "./protocol.ts";

const scope = self as unknown as {
  readonly name: string;
  onmessage: ((event: MessageEvent<SharedArrayBuffer>) => void) | null;
  postMessage(message: Hello): void;
  close(): void;
};

// First of all: threads that Deno makes for this Worker later are born where this one is.
const entered = enter(scope.name);

const LINK = "/proc/thread-self/ns/net\0";
const memory = new ArrayBuffer(128);
const address = addressOf(memory);
new TextEncoder().encodeInto(LINK, new Uint8Array(memory));
/** Where the link's text goes: `net:[4026531840]`. */
const text = new Uint8Array(memory, 64);

scope.onmessage = ({ data }) => serve(data);
scope.postMessage({ entered, inode: inode(), tid: make("gettid") });
if (entered < 0) scope.close();

function make(name: "gettid" | "unshare" | "setns" | "readlinkat", ...args: bigint[]): number {
  const [a = 0n, b = 0n, c = 0n, d = 0n] = args;
  return syscall(syscallNumber(name), [a, b, c, d, 0, 0]);
}

function enter(what: string): number {
  const [, fd] = /^fd (\d+)$/.exec(what) ?? [];
  const net = BigInt(CLONE.CLONE_NEWNET);
  return fd === undefined ? make("unshare", net) : make("setns", BigInt(fd), net);
}

/** The namespace that this thread is in, asked of the kernel; 0 when /proc cannot tell. */
function inode(): number {
  const length = make("readlinkat", BigInt(AT_FDCWD), address, address + 64n, 64n);
  let number = 0;
  for (let i = 0; i < length; i++) {
    const digit = (text[i] ?? 0) - 0x30;
    if (digit >= 0 && digit <= 9) number = number * 10 + digit;
  }
  return number;
}

/** Blocks this thread for the rest of its life. */
function serve(shared: SharedArrayBuffer): void {
  const turn = new Int32Array(shared, 0, 1);
  const view = new DataView(shared);
  const base = Deno.UnsafePointer.value(Deno.UnsafePointer.of(new Uint8Array(shared)));
  try {
    for (;;) {
      Atomics.wait(turn, 0, TURN.CALLER);
      const now = Atomics.load(turn, 0);
      if (now === TURN.CALLER) continue;
      if (now !== TURN.WORKER) return;
      execute(turn, view, base);
      view.setBigUint64(INODE_OFFSET, BigInt(inode()), true);
      if (Atomics.compareExchange(turn, 0, TURN.WORKER, TURN.CALLER) !== TURN.WORKER) return;
      Atomics.notify(turn, 0);
    }
  } finally {
    Atomics.store(turn, 0, TURN.ENDED);
    Atomics.notify(turn, 0);
    scope.close();
  }
}

/** Makes the calls in order, up to the first that fails and may not. */
function execute(turn: Int32Array, view: DataView, base: bigint): void {
  const count = view.getUint32(COUNT_OFFSET, true);
  for (let index = 0; index < count; index++) {
    const at = CALLS_OFFSET + index * CALL_SIZE;
    const how = view.getUint32(at + HOW_OFFSET, true);
    const argument = (i: number): bigint => {
      const value = view.getBigUint64(at + ARGS_OFFSET + i * 8, true);
      return (how & (1 << i)) === 0 ? value : view.getBigUint64(Number(value - base), true);
    };
    const number = Number(view.getBigUint64(at, true));
    const registers = [0, 1, 2, 3, 4, 5].map(argument) as Registers;
    let result;
    // As `Thread` does it; but who was given up must not go on waiting.
    do {
      if (Atomics.load(turn, 0) !== TURN.WORKER) return;
      result = syscall(number, registers);
    } while (
      result === -ERRNO.EINTR && number !== syscallNumber("close") ||
      result === -ERRNO.EAGAIN && number === syscallNumber("openat2")
    );
    if (result === -ERRNO.EINTR) result = 0; // an interrupted close(2) has closed
    view.setBigInt64(at, BigInt(result), true);
    if (result < 0 && result >= -4095 && (how & CARRY_ON) === 0) return;
  }
}
