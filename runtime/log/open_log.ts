import { FileHandler, StderrHandler } from "./handlers.ts";
import { Logger } from "./logger.ts";

/** The global flags that a log is made from. An empty `--log` counts as none. */
export interface LogOptions {
  /** `--log`; absent: stderr. */
  readonly log?: string;
  /** `--log-format`. */
  readonly logFormat: "text" | "json";
  /** `--debug`. */
  readonly debug: boolean;
}

/** The logger that the global flags ask for. The file of `--log` is there from then on, as with runc. */
export function openLog({ log, logFormat, debug }: LogOptions): Logger {
  const level = debug ? "DEBUG" : "INFO";
  if (log === undefined) return new Logger(level, [new StderrHandler(logFormat)]);
  const file = new FileHandler(log, logFormat);
  file.create();
  return new Logger(level, [file]);
}
