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
    arena.put(0, calls.length);
    // Loops over numbers: this is where a start spends its time, and V8 interprets it.
    for (let index = 0; index < calls.length; index++) {
      const made = calls[index] as Call<unknown>;
      const at = this.#at(index);
      const { args } = made;
      let how = made.onFailure.kind === "throw" ? 0 : HOW_CARRY_ON;
      for (let i = 0; i < 6; i++) {
        const arg = plain(args[i] ?? 0);
        let register;
        if (arg instanceof Call) register = arena.addressAt(this.#earlier(calls, index, arg));
        else if (arg instanceof Loaded) register = arena.value(arg.place);
        else {
          arena.put(at + 8 + i * 8, arena.value(arg));
          continue;
        }
        how |= 1 << i; // the register's content is there
        arena.put(at + 8 + i * 8, register);
      }
      arena.view.setUint32(at, syscallNumber(made.name, arch), true);
      arena.view.setUint32(at + 4, how, true);
      arena.put(at + 56, made.next);
    }
    return arena.used;
  }

  /** Where an earlier call's result is. */
  #earlier(calls: readonly Call<unknown>[], index: number, arg: Call<number>): number {
    const earlier = calls.indexOf(arg as Call<unknown>);
    if (earlier >= 0 && earlier < index) return this.#at(earlier);
    throw new Error(`${calls[index]?.name}: ${arg.name} is no earlier call of its batch`);
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
