// Standard input and output of a command that runs in this very process.

/** What a command reads, and what it printed. */
export class Streams implements Disposable {
  #printed = "";
  readonly #decoder = new TextDecoder();

  /**
   * Takes the places of this process's own, until disposed.
   * @param input All that there is to be read.
   * @param printed Called after each write.
   */
  constructor(input: string, printed: () => void) {
    let rest = new TextEncoder().encode(input);
    Deno.stdin.readSync = (into) => {
      const part = rest.subarray(0, into.length);
      rest = rest.subarray(part.length);
      into.set(part);
      return part.length === 0 ? null : part.length;
    };
    Deno.stdout.writeSync = (bytes) => {
      this.#printed += this.#decoder.decode(bytes, { stream: true });
      printed();
      return bytes.length;
    };
  }

  /** What was printed. */
  get printed(): string {
    return this.#printed;
  }

  /** The methods of the class are seen again. */
  [Symbol.dispose](): void {
    for (const [stream, name] of [[Deno.stdin, "readSync"], [Deno.stdout, "writeSync"]] as const) {
      Reflect.deleteProperty(stream, name);
    }
  }
}
