// What the Trace Event Format asks of a file, as far as belay writes it:
// https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
import { assert, assertEquals } from "@std/assert";
import type { CallEvent } from "../runtime/trace/trace.ts";
import { syscallNames } from "../ffi/abi/syscall_numbers.ts";

/** Fails unless a parsed file is a valid trace; its calls, in order, and its rows by process number. */
export function validateTrace(file: unknown): { calls: CallEvent[]; rows: Map<number, string> } {
  assert(isRecord(file), "the object form");
  assertEquals(file["displayTimeUnit"], "ns");
  const events = file["traceEvents"];
  assert(Array.isArray(events), "traceEvents");
  const calls: CallEvent[] = [];
  const rows = new Map<number, string>();
  const names: ReadonlySet<string> = new Set(syscallNames());
  for (const event of events) {
    assert(isRecord(event) && isRecord(event["args"]), JSON.stringify(event));
    const { ph, name, pid, tid, args } = event;
    assert(Number.isInteger(pid) && Number.isInteger(tid), JSON.stringify(event));
    if (ph === "M") {
      assert(["process_name", "thread_name", "process_sort_index"].includes(String(name)));
      if (name === "process_name") rows.set(Number(pid), String((args as { name: string }).name));
      continue;
    }
    assertEquals(ph, "X");
    assert(names.has(String(name)), `${name} is no system call`);
    for (const field of ["ts", "dur"]) {
      const value = event[field];
      assert(
        typeof value === "number" && Number.isFinite(value) && value >= 0,
        `${field} ${value}`,
      );
    }
    const { call, result } = args as Record<string, unknown>;
    assert(typeof call === "string" && call.startsWith(`${name}(`), String(call));
    assert(["number", "string"].includes(typeof result), "args.result");
    calls.push(event as unknown as CallEvent);
  }
  for (const { pid } of calls) assert(rows.has(pid), `process ${pid} has no name`);
  for (let i = 1; i < calls.length; i++) {
    assert((calls[i - 1]?.ts ?? 0) <= (calls[i]?.ts ?? 0), "sorted by time");
  }
  return { calls, rows };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
