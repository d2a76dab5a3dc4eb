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

/** The logger that the global flags ask for. It opens nothing before the first record. */
export function openLog({ log, logFormat, debug }: LogOptions): Logger {
  const handler = log === undefined
    ? new StderrHandler(logFormat)
    : new FileHandler(log, logFormat);
  return new Logger(debug ? "DEBUG" : "INFO", [handler]);
}
