import { Arena, ArenaFull } from "./arena.ts";
import { type Arch, syscallNumber } from "./abi/syscall_numbers.ts";
import { type Arg, Call, Loaded, plain } from "./call.ts";
import {
  HOW_CARRY_ON,
  REQUEST_CALL_SIZE,
  REQUEST_HEADER_SIZE,
  STUB_BUFFER_ADDRESS,
  STUB_BUFFER_SIZE,
  STUB_OVERFLOW_ADDRESS,
} from "./stub/protocol.ts";

/**
 * The memory in which a driver writes requests to stubs and reads their answers: the bytes lie as they will lie in
 * the stub's buffer, and the pointers are the stub's.
 */
export class RequestBuffer {
  readonly arena = new Arena(new ArrayBuffer(STUB_BUFFER_SIZE), STUB_BUFFER_ADDRESS);

  /**
   * Lays out a batch. What the kernel only reads goes to `overflow` when the batch is larger than the stub's buffer.
   * @returns The request's length in bytes, and the overflow area's content, if there is any.
   * @throws ArenaFull when the calls and their out-buffers alone are too large: a defect of the caller.
   */
  write(calls: readonly Call<unknown>[], arch: Arch): { length: number; overflow?: Uint8Array } {
    try {
      return { length: this.#layOut(calls, arch) };
    } catch (error) {
      if (!(error instanceof ArenaFull)) throw error; // too large for the buffer: lay it out in two places
    }
    for (let size = 0x40000;; size *= 4) {
      const area = new Arena(new ArrayBuffer(size), STUB_OVERFLOW_ADDRESS);
      this.arena.overflow = area;
      try {
        const length = this.#layOut(calls, arch);
        return { length, overflow: area.bytes.subarray(0, area.used) };
      } catch (error) {
        // The largest argv that a kernel takes is 6 MiB (execve(2)); past 64 MiB the calls themselves do not fit.
        if (!(error instanceof ArenaFull) || size >= 0x4000000) throw error;
      } finally {
        this.arena.overflow = undefined;
      }
    }
  }

  /** Copies back the out-buffers of an answered request. */
  collect(): void {
    this.arena.collect();
  }

  /** The raw result of a call of an answered request. */
  read(index: number): number {
    return Number(this.arena.view.getBigInt64(this.#at(index), true));
  }

  #at(index: number): number {
    return REQUEST_HEADER_SIZE + index * REQUEST_CALL_SIZE;
  }

  #layOut(calls: readonly Call<unknown>[], arch: Arch): number {
    const { arena } = this;
    const end = this.#at(calls.length);
    if (end > STUB_BUFFER_SIZE) throw new ArenaFull(`${calls.length} calls`);
    arena.reset(end);
    arena.view.setBigUint64(0, BigInt(calls.length), true);
    calls.forEach((made, index) => {
      const at = this.#at(index);
      let how = made.onFailure.kind === "throw" ? 0 : HOW_CARRY_ON;
      for (let i = 0; i < 6; i++) {
        const [number, indirect] = this.#register(made, plain(made.args[i] ?? 0), calls, index);
        if (indirect) how |= 1 << i;
        arena.view.setBigUint64(at + 8 + i * 8, BigInt.asUintN(64, number), true);
      }
      arena.view.setUint32(at, syscallNumber(made.name, arch), true);
      arena.view.setUint32(at + 4, how >>> 0, true);
      arena.view.setBigInt64(at + 56, made.next, true);
    });
    return arena.used;
  }

  #register(
    made: Call<unknown>,
    arg: ReturnType<typeof plain>,
    calls: readonly Call<unknown>[],
    index: number,
  ): [number: bigint, indirect: boolean] {
    if (arg instanceof Loaded) return [this.arena.value(arg.place), true];
    if (!(arg instanceof Call)) return [this.arena.value(arg), false];
    const earlier = calls.indexOf(arg as Call<unknown>);
    if (earlier < 0 || earlier >= index) {
      throw new Error(`${made.name}: ${arg.name} is no earlier call of its batch`);
    }
    return [STUB_BUFFER_ADDRESS + BigInt(this.#at(earlier)), true];
  }
}

/** A batch of one call in which earlier results, which are known by now, stand as numbers. */
export function resolved<R>(made: Call<R>, results: ReadonlyMap<Arg, number>): Call<R> {
  const known = (arg: Arg): Arg => {
    const bare = plain(arg);
    if (bare instanceof Loaded) return bare.value;
    if (!(bare instanceof Call)) return arg;
    const result = results.get(bare);
    if (result === undefined) {
      throw new Error(`${made.name}: ${bare.name} is no earlier call of its batch`);
    }
    return result;
  };
  const alone = new Call(made.name, made.args.map(known), made.decode);
  alone.onFailure = made.onFailure;
  alone.next = made.next;
  return alone;
}
