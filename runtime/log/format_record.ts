import type { LevelName, LogRecord } from "./logger.ts";

/** The forms of `--log-format`, and the plain one for people at a terminal. */
export type LogFormat = "text" | "json" | "plain";

/** logrus' names: clients look for `"level":"error"`. */
const NAMES: Readonly<Record<LevelName, string>> = {
  DEBUG: "debug",
  INFO: "info",
  WARN: "warning",
  ERROR: "error",
};

/**
 * One line without its line feed, in logrus' words: what containerd, dockerd and podman parse.
 *
 * - `json`: exactly the keys `level`, `msg` and `time`;
 * - `text`: logfmt, `time="…" level=error msg="…"`;
 * - `plain`: `error: …`.
 *
 * Times are RFC 3339 in UTC, in seconds. In `text` and `json` the line holds no control character,
 * whatever is in the message: a container's names cannot forge a second line.
 */
export function formatRecord(record: LogRecord, format: LogFormat): string {
  const level = NAMES[record.level];
  const time = `${record.time.toISOString().slice(0, 19)}Z`;
  switch (format) {
    case "json":
      return visible(JSON.stringify({ level, msg: record.msg, time }), "\\u00");
    case "text":
      return `time="${time}" level=${level} msg=${quote(record.msg)}`;
    case "plain":
      return `${level}: ${visible(record.msg)}`;
  }
}

/** logrus quotes what has any other character in it. */
function quote(text: string): string {
  return /^[\w./@^+-]+$/.test(text) ? text : visible(JSON.stringify(text));
}

/** Control characters as escapes, so that a message cannot drive a terminal. Line feeds stay. */
export function visible(text: string, escape: "\\x" | "\\u00" = "\\x"): string {
  // deno-lint-ignore no-control-regex -- they are what is looked for
  return text.replace(/[\0-\x09\x0b-\x1f\x7f-\x9f]/g, (char) => {
    return escape + char.charCodeAt(0).toString(16).padStart(2, "0");
  });
}
