// In the shape of @std/log, which is no more: docs/decisions/0003-logging.md.

/** The levels, by weight. */
export const LogLevels = { DEBUG: 10, INFO: 20, WARN: 30, ERROR: 40 } as const;

/** The name of a level. */
export type LevelName = keyof typeof LogLevels;

/** One line of the log, before it has a form. */
export interface LogRecord {
  /** How much it matters. */
  readonly level: LevelName;
  /** The message, as it came. */
  readonly msg: string;
  /** When. */
  readonly time: Date;
}

/** Where records go. A handler is called synchronously and must not throw. */
export interface LogHandler {
  /** Takes one record. */
  handle(record: LogRecord): void;
}

/** Passes records of its level and above to every handler. */
export class Logger {
  readonly #level: LevelName;
  readonly #handlers: readonly LogHandler[];

  /** Costs nothing. */
  constructor(level: LevelName, handlers: readonly LogHandler[]) {
    this.#level = level;
    this.#handlers = handlers;
  }

  /** For whoever looks for a fault in belay; shown with `--debug` only. */
  debug(msg: string): void {
    this.#log("DEBUG", msg);
  }

  /** Something that the user may want to know. */
  info(msg: string): void {
    this.#log("INFO", msg);
  }

  /** Something that belay does not or cannot do, and goes on without. */
  warn(msg: string): void {
    this.#log("WARN", msg);
  }

  /** Why the command failed. */
  error(msg: string): void {
    this.#log("ERROR", msg);
  }

  #log(level: LevelName, msg: string): void {
    if (LogLevels[level] < LogLevels[this.#level]) return;
    const record = { level, msg, time: new Date() };
    for (const handler of this.#handlers) handler.handle(record);
  }
}
