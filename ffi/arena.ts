import { Place, Struct, type Value } from "./call.ts";

const encoder = new TextEncoder();

/** Bytes that do not fit: the batch needs a larger arena, or an overflow area (see `stub.ts`). */
export class ArenaFull extends Error {
  override readonly name = "ArenaFull";
}

/**
 * Flat memory into which arguments are marshalled: numbers stay numbers, everything else is copied in and
 * becomes `base + offset`. `base` is where the memory lies for whoever executes the calls: the buffer's own
 * address in this process, or the stub's buffer.
 */
export class Arena {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  #used: number;
  readonly #placed = new Map<Struct, number>();
  /** Where everything goes that the kernel only reads, when the batch is larger than this arena. */
  overflow: Arena | undefined;

  constructor(readonly buffer: ArrayBuffer, readonly base: bigint, readonly start = 0) {
    this.bytes = new Uint8Array(buffer);
    this.view = new DataView(buffer);
    this.#used = start;
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

  /** The number that stands for an argument in a register or a pointer field. */
  value(arg: Value): bigint {
    if (this.overflow !== undefined && fitsElsewhere(arg)) return this.overflow.value(arg);
    switch (typeof arg) {
      case "number":
        return BigInt(arg);
      case "bigint":
        return arg;
      case "string":
        return this.base + BigInt(this.#string(arg));
    }
    if (arg instanceof Uint8Array) return this.base + BigInt(this.#copy(arg));
    if (arg instanceof Place) return this.base + BigInt(this.#struct(arg.struct) + arg.offset);
    return this.base + BigInt(this.#struct(arg));
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
    for (const [at, width, value] of struct.fields) {
      const number = this.value(value);
      switch (width) {
        case 1:
          this.view.setUint8(offset + at, Number(BigInt.asUintN(8, number)));
          break;
        case 2:
          this.view.setUint16(offset + at, Number(BigInt.asUintN(16, number)), true);
          break;
        case 4:
          this.view.setUint32(offset + at, Number(BigInt.asUintN(32, number)), true);
          break;
        case 8:
          this.view.setBigUint64(offset + at, BigInt.asUintN(64, number), true);
          break;
      }
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
