// What a NetnsWorker costs: to start and end, and for a request once it is warm.
import { getLink, parseLink } from "../../../ffi/netlink/link.ts";
import { NetlinkSocket } from "../../../ffi/netlink/socket.ts";
import { getpid } from "../../../ffi/syscalls/process.ts";
import { Thread } from "../../../ffi/thread.ts";
import { NetnsWorker } from "../../../runtime/netns/netns_worker.ts";
import { median } from "../meter.ts";
import type { Measurement, Section } from "../section.ts";

const STARTS = 20;
const REQUESTS = 5000;
const WARM_UP = 500;

async function benchNetnsWorker(): Promise<Measurement> {
  const thread = new Thread();
  const starts: number[] = [];
  const ends: number[] = [];
  for (let i = 0; i < STARTS; i++) {
    const worker = await timed(starts, () => NetnsWorker.enter(thread, "new"));
    await timed(ends, () => worker[Symbol.asyncDispose]());
  }
  await using worker = await NetnsWorker.enter(thread, "new");
  using socket = NetlinkSocket.open(worker);
  const here = repeated(() => thread.call(getpid()));
  const there = repeated(() => worker.call(getpid()));
  const asked = repeated(() => parseLink(socket.ask(getLink(1))));
  const rows: readonly (readonly [what: string, rounds: number, us: number])[] = [
    ["enter a new namespace", STARTS, median(starts)],
    ["leave it", STARTS, median(ends)],
    ["a request to a warm one (getpid)", REQUESTS, there],
    ["a netlink request to it (RTM_GETLINK)", REQUESTS, asked],
    ["getpid on belay's own thread", REQUESTS, here],
  ];
  return {
    title: "a NetnsWorker",
    table: [
      ["", "median µs", "rounds"],
      ...rows.map(([what, rounds, us]) => [what, us.toFixed(1), String(rounds)]),
    ],
    verdicts: [{
      ...{ what: "a request to a warm NetnsWorker", measured: `${there.toFixed(1)} µs` },
      ...{ bound: "printed", met: undefined },
    }],
  };
}

async function timed<T>(into: number[], work: () => Promise<T>): Promise<T> {
  const start = performance.now();
  const result = await work();
  into.push((performance.now() - start) * 1000);
  return result;
}

/** The middle of many, in microseconds. */
function repeated(work: () => void): number {
  const times: number[] = [];
  for (let i = 0; i < WARM_UP + REQUESTS; i++) {
    const start = performance.now();
    work();
    if (i >= WARM_UP) times.push((performance.now() - start) * 1000);
  }
  return median(times);
}

/** `--only=netns-worker`. */
export const section: Section = {
  name: "netns-worker",
  what: "a request to a warm NetnsWorker",
  run: async () => [await benchNetnsWorker()],
};
