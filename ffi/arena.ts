import { Place, Struct, type Value } from "./call.ts";

const encoder = new TextEncoder();

/** Bytes that do not fit: the batch needs a larger arena, or an overflow area (see `stub.ts`). */
export class ArenaFull extends Error {
  override readonly name = "ArenaFull";
}

/** 2^32. */
const HIGH = 0x100000000;

/**
 * Flat memory into which arguments are marshalled: numbers stay numbers, everything else is copied in and
 * becomes `base + offset`. `base` is where the memory lies for whoever executes the calls: the buffer's own
 * address in this process, or the stub's buffer.
 */
export class Arena {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  #used: number;
  /** A number, which every address of user space is exactly (x86-64: 47 bits, or 56). */
  readonly #base: number;
  readonly #placed = new Map<Struct, number>();
  /** Where everything goes that the kernel only reads, when the batch is larger than this arena. */
  overflow: Arena | undefined;

  constructor(readonly buffer: ArrayBuffer, base: bigint, readonly start = 0) {
    this.bytes = new Uint8Array(buffer);
    this.view = new DataView(buffer);
    this.#used = start;
    this.#base = Number(base);
    if (!Number.isSafeInteger(this.#base)) throw new RangeError(`no address: ${base}`);
  }

  /** Bytes in use, from the buffer's first. */
  get used(): number {
    return this.#used;
  }

  /** Forgets everything placed so far; what follows is laid out from `start` on. */
  reset(start = this.start): void {
    this.#used = start;
    this.#placed.clear();
  }

  /**
   * The number that stands for an argument in a register or a pointer field: an integer, a bigint only where one was
   * given. Most are small, and V8 makes an object for each bigint.
   */
  value(arg: Value): number | bigint {
    if (typeof arg === "number" || typeof arg === "bigint") return arg;
    if (this.overflow !== undefined && fitsElsewhere(arg)) return this.overflow.value(arg);
    if (typeof arg === "string") return this.#base + this.#string(arg);
    if (arg instanceof Struct) return this.#base + this.#struct(arg);
    if (arg instanceof Place) return this.#base + this.#struct(arg.struct) + arg.offset;
    return this.#base + this.#copy(arg);
  }

  /** The address of an offset in this memory, for whoever executes the calls. */
  addressAt(offset: number): number {
    return this.#base + offset;
  }

  /** Writes a number, cut to so many bytes as two's complement. @throws RangeError for what is no integer */
  put(offset: number, value: number | bigint, width: 1 | 2 | 4 | 8 = 8): void {
    if (typeof value === "bigint") {
      if (width === 8) return this.view.setBigUint64(offset, value, true);
      value = Number(BigInt.asUintN(32, value));
    } else if (!Number.isSafeInteger(value)) throw new RangeError(`no integer: ${value}`);
    if (width === 1) return this.view.setUint8(offset, value);
    if (width === 2) return this.view.setUint16(offset, value, true);
    this.view.setUint32(offset, value, true);
    if (width === 8) this.view.setInt32(offset + 4, Math.floor(value / HIGH), true);
  }

  /** Where a struct of the current batch lies, from the buffer's first byte. */
  offsetOf(struct: Struct): number {
    return this.#struct(struct);
  }

  /** Copies back what the kernel wrote into the out-buffers that were laid out since the last reset. */
  collect(): void {
    for (const [struct, offset] of this.#placed) {
      if (struct.out) struct.bytes = this.bytes.slice(offset, offset + struct.size);
    }
  }

  /** Room for `size` bytes, aligned to 8; its offset. @throws ArenaFull */
  #take(size: number): number {
    const offset = (this.#used + 7) & ~7;
    if (offset + size > this.bytes.length) throw new ArenaFull(`${offset + size} bytes needed`);
    this.#used = offset + size;
    return offset;
  }

  #string(text: string): number {
    // The kernel would see another, shorter name than whoever checked it.
    if (text.includes("\0")) throw new TypeError(`${JSON.stringify(text)}: a NUL in a string`);
    // At most three bytes for each UTF-16 unit, and the NUL.
    const room = text.length * 3 + 1;
    const offset = (this.#used + 7) & ~7;
    if (offset + room > this.bytes.length) {
      const encoded = encoder.encode(text + "\0");
      return this.#copy(encoded);
    }
    const { written } = encoder.encodeInto(text, this.bytes.subarray(offset, offset + room - 1));
    this.bytes[offset + written] = 0;
    this.#used = offset + written + 1;
    return offset;
  }

  #copy(bytes: Uint8Array): number {
    const offset = this.#take(bytes.length);
    this.bytes.set(bytes, offset);
    return offset;
  }

  #struct(struct: Struct): number {
    const known = this.#placed.get(struct);
    if (known !== undefined) return known;
    const offset = this.#take(struct.size);
    this.#placed.set(struct, offset);
    this.bytes.set(struct.bytes, offset); // zeros, or what an earlier call left there
    for (const field of struct.fields) {
      this.put(offset + field[0], this.value(field[2]), field[1]);
    }
    return offset;
  }
}

/** Whether the kernel only reads what the argument points at, and whatever that points at. */
function fitsElsewhere(arg: Value): boolean {
  if (typeof arg === "string" || arg instanceof Uint8Array) return true;
  return arg instanceof Struct && readOnly(arg);
}

function readOnly(struct: Struct): boolean {
  return !struct.out &&
    struct.fields.every(([, , value]) => {
      if (value instanceof Place) return readOnly(value.struct);
      return !(value instanceof Struct) || readOnly(value);
    });
}
