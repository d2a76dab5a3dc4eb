import { assert, assertEquals, assertThrows } from "@std/assert";
import { call, tolerate } from "../../ffi/call.ts";
import { observe, observer } from "../../ffi/observer.ts";
import { close, openat } from "../../ffi/syscalls/file.ts";
import { execve, getpid } from "../../ffi/syscalls/process.ts";
import { CommandError } from "../../runtime/cli/command_error.ts";
import { startTrace, TraceCollector } from "../../runtime/trace/trace.ts";
import { validateTrace } from "../trace_format.ts";

const BELAY = { name: "belay", pid: 10 };
const INIT = { name: "init", pid: 11 };

Deno.test("TraceCollector gives a valid trace when two processes have made calls", () => {
  const collector = new TraceCollector();
  const open = openat(-100, "/etc", 0);
  const gone = tolerate(close(9), ["EBADF"], "it may be closed already");
  collector.after(open, INIT, 7, 5_000n, 7_500n);
  collector.after(close(open), INIT, 0, 8_000n, 8_100n);
  collector.after(openat(-100, "/nope", 0), BELAY, -2, 1_000n, 2_000n);
  collector.after(gone, BELAY, -9, 9_000n, 9_001n);
  collector.after(execve("/bin/true", ["true"], []), INIT, undefined, 10_000n, 10_000n);
  const { calls, rows } = validateTrace(collector.file());
  assertEquals([...rows], [[10, "belay"], [11, "init"]]);
  assertEquals(calls.map(({ name, pid, ts, dur, args }) => ({ name, pid, ts, dur, args })), [
    {
      ...{ name: "openat", pid: 10, ts: 1, dur: 1 },
      args: {
        call: 'openat(AT_FDCWD, "/nope", O_CLOEXEC, 0)',
        result: "ENOENT: no such file or directory",
      },
    },
    {
      ...{ name: "openat", pid: 11, ts: 5, dur: 2.5 },
      args: { call: 'openat(AT_FDCWD, "/etc", O_CLOEXEC, 0)', result: 7 },
    },
    { ...{ name: "close", pid: 11, ts: 8, dur: 0.1 }, args: { call: "close(7)", result: 0 } },
    {
      ...{ name: "close", pid: 10, ts: 9, dur: 0.001 },
      args: {
        call: "close(9)",
        result: "EBADF: bad file descriptor",
        expected: "it may be closed already",
      },
    },
    {
      ...{ name: "execve", pid: 11, ts: 10, dur: 0 },
      args: { call: 'execve("/bin/true", ["true"], [])', result: "did not return" },
    },
  ]);
  assertEquals(calls.map((each) => each.cname), [
    "terrible",
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
  assertEquals(calls.map((each) => each.cat), ["thread", "stub", "stub", "thread", "stub"]);
});

Deno.test("TraceCollector asks another observer first when there is one", () => {
  const seen: string[] = [];
  const collector = new TraceCollector({
    before: () => 12,
    after: (made) => void seen.push(made.name),
  });
  assertEquals(collector.before(getpid(), BELAY), 12);
  collector.after(getpid(), BELAY, 1, 0n, 0n);
  assertEquals(seen, ["getpid"]);
});

Deno.test("TraceCollector keeps a result beyond 32 bits when it is an address", () => {
  const collector = new TraceCollector();
  collector.after(call("mmap", 0), BELAY, 0x7f00_0000_0000, 0n, 1n);
  assertEquals(validateTrace(collector.file()).calls[0]?.args.result, 0x7f00_0000_0000);
});

Deno.test("startTrace() writes the file once, and takes its observer away, when it is finished", () => {
  const dir = Deno.makeTempDirSync();
  try {
    const path = `${dir}/trace.json`;
    const trace = startTrace(path);
    const mine = observer();
    assert(mine !== undefined);
    mine.after(getpid(), BELAY, 10, 1n, 2n);
    trace.finish();
    assertEquals(observer(), undefined);
    observe(mine);
    trace.finish();
    assertEquals(observer(), mine); // the second time did nothing
    assertEquals(validateTrace(JSON.parse(Deno.readTextFileSync(path))).calls.length, 1);
  } finally {
    observe(undefined);
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("startTrace() throws, and observes nothing, when the file cannot be written", () => {
  assertThrows(() => startTrace("/nonexistent/trace.json"), CommandError, "--trace /nonexistent");
  assertEquals(observer(), undefined);
});

Deno.test("startTrace() names the flag when the disk is full", () => {
  const trace = startTrace("/dev/full");
  assertThrows(() => trace.finish(), CommandError, "--trace /dev/full");
  assertEquals(observer(), undefined);
});

Deno.test("startTrace() gives a valid trace when nothing happened", () => {
  const path = Deno.makeTempFileSync();
  try {
    startTrace(path).finish();
    assertEquals(validateTrace(JSON.parse(Deno.readTextFileSync(path))).calls, []);
  } finally {
    Deno.removeSync(path);
  }
});
