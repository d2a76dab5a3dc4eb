import { formatRecord, type LogFormat } from "./format_record.ts";
import type { LogHandler, LogRecord } from "./logger.ts";

/** Writes to stderr: plainly on a terminal, else in `format`. */
export class StderrHandler implements LogHandler {
  readonly #format: LogFormat;

  /** `plain` is also allowed where no client reads along. */
  constructor(format: LogFormat) {
    this.#format = format;
  }

  /** Writes one line. */
  handle(record: LogRecord): void {
    const format = this.#format === "text" && Deno.stderr.isTerminal() ? "plain" : this.#format;
    writeToStderr(formatRecord(record, format));
  }
}

/**
 * Appends to the file of `--log`, as runc does: mode 0644, one write per line, because belay and
 * its client's other runtimes may append to the same file.
 *
 * The file is opened for each record: there are few, and mostly none. When that fails, or the
 * write does, the record and the reason go to stderr: a full disk must not hide why a container
 * did not start.
 */
export class FileHandler implements LogHandler {
  readonly #path: string;
  readonly #format: LogFormat;

  /** Opens nothing. */
  constructor(path: string, format: LogFormat) {
    this.#path = path;
    this.#format = format;
  }

  /**
   * Makes the file, empty, if there is none. containerd's shim reads it after every failure: where there is none
   * because belay was killed, it tells of a missing file, and docker takes that for a missing command (exit code 127).
   */
  create(): void {
    try {
      Deno.openSync(this.#path, { append: true, create: true, mode: 0o644 }).close();
    } catch {
      // The first record tells why it cannot be written. Without one there was nothing to say, and a container is not
      // left undeleted because its log is gone.
    }
  }

  /** Appends one line. */
  handle(record: LogRecord): void {
    const line = formatRecord(record, this.#format);
    try {
      Deno.writeTextFileSync(this.#path, `${line}\n`, { append: true, mode: 0o644 });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      writeToStderr(line);
      writeToStderr(`belay: --log ${this.#path}: ${reason}`);
    }
  }
}

/** Writes a line to stderr. Nothing is left to tell anyone when that fails. */
export function writeToStderr(line: string): void {
  try {
    let bytes = new TextEncoder().encode(`${line}\n`);
    while (bytes.length > 0) bytes = bytes.subarray(Deno.stderr.writeSync(bytes));
  } catch {
    // Closed, or a pipe that nobody reads: the exit code still tells.
  }
}
