/**
 * What the stub's conversation costs, for docs/decisions/0001 and 0002: medians in microseconds.
 *
 * Usage: deno run -A tests/bench/stub_bench.ts
 */
import { Host } from "../../ffi/host.ts";
import type { Remote } from "../../ffi/remote.ts";
import { O } from "../../ffi/abi/file_flags.ts";
import { SIGNAL } from "../../ffi/abi/signals.ts";
import { close, openat, read, write } from "../../ffi/syscalls/file.ts";
import { execve, getpid } from "../../ffi/syscalls/process.ts";

const ROUNDS = 2000;
const host = new Host("/tmp");
const thread = host.thread;

/** The median time of a step, in microseconds; the first tenth warms the compiler up. */
function median(step: () => void, rounds = ROUNDS): number {
  const times: number[] = [];
  for (let i = 0; i < rounds; i++) {
    const start = performance.now();
    step();
    if (i >= rounds / 10) times.push((performance.now() - start) * 1000);
  }
  times.sort((a, b) => a - b);
  return times[Math.floor(times.length / 2)] ?? 0;
}

/** Two ways, in turns: what the machine does meanwhile hits both. */
function compare(what: string, one: () => void, other: () => void): void {
  const times: [number, number][] = [];
  for (let i = 0; i < ROUNDS; i++) {
    const start = performance.now();
    one();
    const between = performance.now();
    other();
    if (i >= ROUNDS / 4) times.push([between - start, performance.now() - between]);
  }
  const middle = (which: 0 | 1) =>
    (times.map((each) => each[which] * 1000).sort((a, b) => a - b)[times.length >> 1]) ?? 0;
  row(what, middle(0));
  row("  the same in two round trips", middle(1));
}

function row(what: string, microseconds: number): void {
  console.log(`${what.padEnd(66)}${microseconds.toFixed(1).padStart(8)}`);
}

/** Opens, reads and closes a file, with the descriptor named inside one batch. */
function inOneBatch(stub: Remote): void {
  const open = openat(-100, "/proc/self/stat", 0);
  stub.batch([open, read(open, 512), close(open)]);
}

/** The same in two round trips: the descriptor must be known first. */
function inTwoTrips(stub: Remote): void {
  const fd = stub.call(openat(-100, "/proc/self/stat", 0));
  stub.batch([read(fd, 512), close(fd)]);
}

/** Lets a stub go and reaps it. */
function end(stub: Remote): void {
  stub[Symbol.dispose]();
  stub.pidfd.reap();
  stub.pidfd[Symbol.dispose]();
}

const stub = host.spawn("bench");
console.log(`Deno ${Deno.version.deno}, ${Deno.build.arch}; median of ${ROUNDS}, µs`);
row("getpid on the calling thread", median(() => thread.call(getpid())));
row("getpid through the stub: one round trip", median(() => stub.call(getpid())));
for (const count of [2, 10, 50, 200]) {
  const calls = () => Array.from({ length: count }, () => getpid());
  const time = median(() => stub.batch(calls()), 500);
  row(`${count} × getpid in one batch`, time);
}
compare(
  "open + read + close, the descriptor named in the batch",
  () => inOneBatch(stub),
  () => inTwoTrips(stub),
);
row(
  "open + read + close on the calling thread",
  median(() => {
    const open = openat(-100, "/proc/self/stat", 0);
    thread.batch([open, read(open, 512), close(open)]);
  }),
);
const nowhere = stub.call(openat(-100, "/dev/null", O.O_WRONLY));
for (const size of [1_000, 100_000, 1_000_000]) {
  const bytes = new Uint8Array(size);
  row(
    `a request that carries ${size.toLocaleString("en")} bytes${
      size > 190_000 ? " (by memfd)" : ""
    }`,
    median(() => {
      stub.call(write(nowhere, bytes));
    }, 300),
  );
}
row("spawning a stub, letting it go, reaping it", median(() => end(host.spawn("bench")), 300));
row(
  "the same, with a first call answered",
  median(() => {
    const each = host.spawn("bench");
    each.call(getpid());
    end(each);
  }, 300),
);
row(
  "clone3 of a stub by a stub, its end awaited",
  median(() => {
    const child = stub.clone("child", { flags: 0, exitSignal: SIGNAL.SIGCHLD });
    child[Symbol.dispose]();
    child.pidfd.waitSync();
    child.pidfd[Symbol.dispose]();
  }, 300),
);
row(
  "spawn, execve of /bin/true, its end awaited, reaped",
  median(() => {
    const each = host.spawn("bench");
    each.exec([execve("/bin/true", ["true"], [])]);
    each.pidfd.reap();
    each.pidfd[Symbol.dispose]();
  }, 300),
);
const smaps = Deno.readTextFileSync(`/proc/${stub.pidfd.pid}/smaps_rollup`);
const idle = host.spawn("idle");
idle.call(getpid());
const idleSmaps = Deno.readTextFileSync(`/proc/${idle.pidfd.pid}/smaps_rollup`);
const rss = (text: string) => Number(/^Rss:\s+(\d+)/m.exec(text)?.[1] ?? 0);
console.log(`resident: ${rss(idleSmaps)} kB after one call, ${rss(smaps)} kB after all of this`);
end(idle);
end(stub);
