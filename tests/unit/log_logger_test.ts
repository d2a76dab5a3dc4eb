import { assert, assertEquals } from "@std/assert";
import { formatRecord } from "../../runtime/log/format_record.ts";
import { FileHandler } from "../../runtime/log/handlers.ts";
import { Logger, type LogRecord } from "../../runtime/log/logger.ts";
import { openLog } from "../../runtime/log/open_log.ts";

const time = new Date("2026-01-02T03:04:05.678Z");

function record(msg: string, level: LogRecord["level"] = "ERROR"): LogRecord {
  return { level, msg, time };
}

Deno.test("formatRecord() writes JSON with exactly the keys that clients read", () => {
  const line = formatRecord(record('exec: "x":\nnot found'), "json");
  assertEquals(
    line,
    '{"level":"error","msg":"exec: \\"x\\":\\nnot found","time":"2026-01-02T03:04:05Z"}',
  );
});

Deno.test("formatRecord() writes text as logrus does", () => {
  assertEquals(
    formatRecord(record("container does not exist"), "text"),
    'time="2026-01-02T03:04:05Z" level=error msg="container does not exist"',
  );
  assertEquals(
    formatRecord(record("one/word.", "WARN"), "text"),
    'time="2026-01-02T03:04:05Z" level=warning msg=one/word.',
  );
});

Deno.test("formatRecord() lets no message forge a line or drive a terminal", () => {
  const evil = 'x\ntime="now" level=error msg=forged\r\x1b[2J\x9b\x7f';
  for (const format of ["text", "json"] as const) {
    // deno-lint-ignore no-control-regex -- they are what must not be there
    assert(!/[\0-\x1f\x7f-\x9f]/.test(formatRecord(record(evil), format)), format);
  }
  // deno-lint-ignore no-control-regex -- line feeds may stay: --debug prints stacks
  assert(!/[\0-\x09\x0b-\x1f\x7f-\x9f]/.test(formatRecord(record(evil), "plain")));
});

Deno.test("formatRecord() shows control characters by their numbers", () => {
  const told = record("a b\x1b[m\x7f\x9f");
  assertEquals(formatRecord(told, "plain"), "error: a b\\x1b[m\\x7f\\x9f");
  assertEquals(
    formatRecord(told, "text"),
    'time="2026-01-02T03:04:05Z" level=error msg="a b\\u001b[m\\x7f\\x9f"',
  );
  assertEquals(JSON.parse(formatRecord(told, "json")).msg, told.msg);
});

Deno.test("Logger passes on records of its level and above", () => {
  const seen: string[] = [];
  const log = new Logger("INFO", [{ handle: ({ level, msg }) => seen.push(`${level} ${msg}`) }]);
  log.debug("1");
  log.info("2");
  log.warn("3");
  log.error("4");
  assertEquals(seen, ["INFO 2", "WARN 3", "ERROR 4"]);
});

Deno.test("FileHandler appends one line per record, and makes no file before the first", () => {
  const directory = Deno.makeTempDirSync();
  try {
    const path = `${directory}/log.json`;
    const handler = new FileHandler(path, "json");
    assertEquals([...Deno.readDirSync(directory)], []);
    Deno.writeTextFileSync(path, "before\n");
    handler.handle(record("one"));
    Deno.writeTextFileSync(path, "between\n", { append: true });
    handler.handle(record("two"));
    const lines = Deno.readTextFileSync(path).split("\n");
    assertEquals(lines.length, 5);
    assertEquals([lines[0], lines[2]], ["before", "between"]);
    assertEquals([lines[1], lines[3]].map((line) => JSON.parse(line ?? "").msg), ["one", "two"]);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});

Deno.test("openLog() makes the file at once, and keeps what is in it", () => {
  const directory = Deno.makeTempDirSync();
  try {
    const log = `${directory}/log`;
    openLog({ log, logFormat: "text", debug: false }).debug("not at this level");
    assertEquals(Deno.readTextFileSync(log), "");
    Deno.writeTextFileSync(log, "before\n");
    openLog({ log, logFormat: "text", debug: false });
    assertEquals(Deno.readTextFileSync(log), "before\n");
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});

Deno.test("openLog() goes on where the file cannot be made", () => {
  const log = openLog({ log: "/nonexistent/log", logFormat: "text", debug: false });
  log.debug("not at this level");
});
