/**
 * `--trace FILE`: every system call that belay has made for a container, as a timeline that ui.perfetto.dev opens.
 *
 * Source: the Trace Event Format, which Chrome's tracing and Perfetto read
 * (https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU).
 *
 * @module
 */
import type { Call } from "../../ffi/call.ts";
import { type Executor, observe, type Observer, observer } from "../../ffi/observer.ts";
import { showCall } from "../../ffi/show.ts";
import { CommandError } from "../cli/command_error.ts";
import { errnoName, strerror } from "../../ffi/abi/errno.ts";

/** A system call on the timeline: a complete event ("X") of one process's row. */
export interface CallEvent {
  /** A complete event. */
  readonly ph: "X";
  /** The kernel's name of the call. */
  readonly name: string;
  /** The carrier: `thread` for belay's own calls, `stub` for those of another process. */
  readonly cat: "thread" | "stub";
  /** Whose row: the process's number, as belay sees it. */
  readonly pid: number;
  /** The same: a process of belay's has one thread that counts. */
  readonly tid: number;
  /** CLOCK_MONOTONIC, in microseconds. */
  readonly ts: number;
  /** Microseconds. */
  readonly dur: number;
  /** What a click on the bar shows. */
  readonly args: {
    /** The call as `belay plan` prints it. */
    readonly call: string;
    /** What it returned: a number, an error (`EPERM: operation not permitted`), or `did not return`. */
    readonly result: number | string;
    /** Why an error was expected there. */
    readonly expected?: string;
  };
  /** A colour of the viewers' palette, for calls that failed and should not have. */
  readonly cname?: "terrible";
}

/** What a row is called, and where it stands ("M"). */
export interface MetadataEvent {
  /** A metadata event. */
  readonly ph: "M";
  /** What it tells about the row. */
  readonly name: "process_name" | "thread_name" | "process_sort_index";
  /** Which row. */
  readonly pid: number;
  /** The same. */
  readonly tid: number;
  /** The name, or the place among the rows. */
  readonly args: { readonly name: string } | { readonly sort_index: number };
}

/** The file: the format's object form. */
export interface TraceFile {
  /** Nanoseconds: most calls take less than a microsecond. */
  readonly displayTimeUnit: "ns";
  /** The rows' names, then the calls in the order in which they began. */
  readonly traceEvents: readonly (CallEvent | MetadataEvent)[];
}

/** A trace that is being taken. */
export interface Trace {
  /** Stops and writes the file; a second time does nothing. @throws CommandError when the file cannot be written. */
  finish(): void;
}

/**
 * Collects the system calls of every carrier of this thread until `finish()`, which belongs into a `finally`: the
 * trace of a command that failed is the one that people want. The file is opened at once, so that a name that
 * cannot be written to is an error before anything has been done.
 */
export function startTrace(path: string): Trace {
  const file = named(
    path,
    () => Deno.openSync(path, { write: true, create: true, truncate: true }),
  );
  const collector = new TraceCollector(observer());
  const before = observer();
  observe(collector);
  let finished = false;
  return {
    finish() {
      if (finished) return;
      finished = true;
      observe(before);
      try {
        let bytes = new TextEncoder().encode(serialize(collector.file()));
        named(path, () => {
          while (bytes.length > 0) bytes = bytes.subarray(file.writeSync(bytes));
        });
      } finally {
        file.close();
      }
    },
  };
}

/** Does something with the file; an error names the flag. @throws CommandError */
function named<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw new CommandError(`--trace ${path}`, { cause });
  }
}

/** One event in a line: people grep in traces, too. */
function serialize({ displayTimeUnit, traceEvents }: TraceFile): string {
  const lines = traceEvents.map((event) => JSON.stringify(event)).join(",\n");
  return `{"displayTimeUnit":${JSON.stringify(displayTimeUnit)},"traceEvents":[\n${lines}\n]}\n`;
}

/** An observer that remembers. One that was there before (fault injection) goes on doing its work. */
export class TraceCollector implements Observer {
  readonly #events: CallEvent[] = [];
  readonly #rows = new Map<number, string>();
  /** Names for results that later calls of a batch take as arguments. */
  readonly #results = new WeakMap<Call<unknown>, number>();

  /** @param inner Another observer, which is asked first. */
  constructor(private readonly inner?: Observer) {}

  /** @inheritdoc */
  before(made: Call<unknown>, executor: Executor): number | undefined {
    return this.inner?.before(made, executor);
  }

  /** @inheritdoc */
  after(
    made: Call<unknown>,
    executor: Executor,
    result: number | undefined,
    start: bigint,
    end: bigint,
  ): void {
    this.inner?.after(made, executor, result, start, end);
    if (!this.#rows.has(executor.pid)) this.#rows.set(executor.pid, executor.name);
    if (result !== undefined) this.#results.set(made, result);
    const { onFailure } = made;
    const failed = result !== undefined && result < 0 && result >= -4095;
    this.#events.push({
      ph: "X",
      name: made.name,
      cat: executor.name === "belay" ? "thread" : "stub",
      pid: executor.pid,
      tid: executor.pid,
      ts: microseconds(start),
      dur: microseconds(end - start),
      args: {
        call: showCall(made, (earlier) => String(this.#results.get(earlier) ?? "fd")),
        result: showResult(result),
        ...(failed && onFailure.kind === "tolerate" ? { expected: onFailure.why } : {}),
      },
      ...(failed && onFailure.kind === "throw" ? { cname: "terrible" as const } : {}),
    });
  }

  /** What has been seen so far. */
  file(): TraceFile {
    const events = [...this.#events].sort((a, b) => a.ts - b.ts);
    // Rows in the order in which their processes came.
    const pids = [...new Set(events.map((each) => each.pid))];
    const metadata = pids.flatMap((pid, index): MetadataEvent[] => {
      const name = this.#rows.get(pid) ?? "";
      const row = { ph: "M", pid, tid: pid } as const;
      return [
        { ...row, name: "process_name", args: { name } },
        { ...row, name: "thread_name", args: { name } },
        { ...row, name: "process_sort_index", args: { sort_index: index } },
      ];
    });
    return { displayTimeUnit: "ns", traceEvents: [...metadata, ...events] };
  }
}

function microseconds(nanoseconds: bigint): number {
  return Number(nanoseconds) / 1000;
}

function showResult(result: number | undefined): number | string {
  if (result === undefined) return "did not return";
  return result < 0 && result >= -4095 ? `${errnoName(-result)}: ${strerror(-result)}` : result;
}
