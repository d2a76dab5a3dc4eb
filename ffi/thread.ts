import { Arena, ArenaFull } from "./arena.ts";
import { syscallNumber } from "./abi/syscall_numbers.ts";
import { type Arg, Call, Loaded, out, plain } from "./call.ts";
import { type Kernel, type Results, settle } from "./kernel.ts";
import { addressOf, type Registers, syscall } from "./libc.ts";
import { ERRNO } from "./abi/errno.ts";
import { clock_gettime, nanoseconds } from "./syscalls/memory.ts";
import { getpid } from "./syscalls/process.ts";
import { type Observer, observer } from "./observer.ts";

const ARENA_SIZE = 0x8000;

/**
 * The carrier that makes its calls on the calling OS thread, through libc's syscall(2). Interrupted calls (EINTR)
 * are made again: V8 and tokio use signals, and nothing here waits for one. So is openat2 with EAGAIN, as a stub does.
 */
export class Thread implements Kernel {
  #arena: Arena | undefined;
  #pid = 0;

  /** @inheritdoc */
  call<R>(made: Call<R>): R {
    return settle(made, this.#make(made, undefined)) as R;
  }

  /** @inheritdoc */
  batch<const T extends readonly Call<unknown>[]>(calls: T): Results<T> {
    const raw = new Map<Arg, number>();
    const results: unknown[] = [];
    try {
      for (const made of calls) {
        const result = this.#make(made, raw);
        raw.set(made as Call<number>, result);
        results.push(settle(made, result));
      }
    } catch (error) {
      this.#closeOwn(calls.slice(results.length + 1), raw);
      throw error;
    }
    return results as Results<T>;
  }

  /** What a batch opened and meant to close it closes, also when it ends early. */
  #closeOwn(rest: readonly Call<unknown>[], raw: ReadonlyMap<Arg, number>): void {
    for (const made of rest) {
      const [fd] = made.args;
      if (made.name !== "close" || !(fd instanceof Call) || (raw.get(fd) ?? -1) < 0) continue;
      this.#make(made, raw); // its own error would hide the first one
    }
  }

  #make(made: Call<unknown>, earlier: ReadonlyMap<Arg, number> | undefined): number {
    const watching = observer();
    if (watching !== undefined) return this.#observed(made, earlier, watching);
    for (let size = ARENA_SIZE;; size *= 4) {
      const arena = this.#clean(size);
      try {
        return this.#execute(made, arena, earlier);
      } catch (error) {
        if (!(error instanceof ArenaFull)) throw error; // grown and tried again: nothing was executed yet
      }
    }
  }

  #observed(
    made: Call<unknown>,
    earlier: ReadonlyMap<Arg, number> | undefined,
    watching: Observer,
  ): number {
    this.#pid ||= this.#execute(getpid(), this.#clean(ARENA_SIZE), undefined);
    const executor = { name: "belay", pid: this.#pid };
    const errno = watching.before(made, executor);
    const start = this.#now();
    const arena = this.#clean(0x400000);
    const result = errno === undefined ? this.#execute(made, arena, earlier) : -errno;
    watching.after(made, executor, result, start, this.#now());
    return result;
  }

  #now(): bigint {
    const time = out(16);
    this.#execute(clock_gettime(time), this.#clean(ARENA_SIZE), undefined);
    return nanoseconds(time);
  }

  #clean(size: number): Arena {
    if (this.#arena === undefined || this.#arena.buffer.byteLength < size) {
      const buffer = new ArrayBuffer(size);
      this.#arena = new Arena(buffer, addressOf(buffer));
    }
    this.#arena.reset();
    return this.#arena;
  }

  #execute(
    made: Call<unknown>,
    arena: Arena,
    earlier: ReadonlyMap<Arg, number> | undefined,
  ): number {
    const registers: Registers = [0, 0, 0, 0, 0, 0];
    for (let i = 0; i < made.args.length; i++) {
      const arg = plain(made.args[i] ?? 0);
      if (arg instanceof Call) registers[i] = resultOf(arg, made, earlier);
      else registers[i] = arg instanceof Loaded ? arg.value : arena.value(arg);
    }
    const number = syscallNumber(made.name);
    let result;
    do result = syscall(number, registers); while (
      result === -ERRNO.EINTR && made.name !== "close" ||
      result === -ERRNO.EAGAIN && made.name === "openat2"
    );
    // An interrupted close(2) has closed: another one would hit whoever got the number meanwhile.
    if (result === -ERRNO.EINTR) result = 0;
    arena.collect();
    return result;
  }
}

function resultOf(
  arg: Call<number>,
  made: Call<unknown>,
  earlier: ReadonlyMap<Arg, number> | undefined,
): number {
  const result = earlier?.get(arg);
  if (result !== undefined) return result;
  throw new Error(`${made.name}: ${arg.name} is no earlier call of its batch`);
}
