import { getLink, parseLink } from "../../ffi/netlink/link.ts";
import { NetlinkSocket } from "../../ffi/netlink/socket.ts";
import { getpid } from "../../ffi/syscalls/process.ts";
import { Thread } from "../../ffi/thread.ts";
import { NetnsWorker } from "../../runtime/netns/netns_worker.ts";
import { median } from "./meter.ts";

/** How often something was measured, and the middle of it. */
export interface WorkerRow {
  readonly what: string;
  readonly rounds: number;
  /** Microseconds. */
  readonly us: number;
}

const STARTS = 20;
const REQUESTS = 5000;
const WARM_UP = 500;

/** What a NetnsWorker costs: to start and end, and for a request once it is warm. */
export async function benchNetnsWorker(): Promise<WorkerRow[]> {
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
  return [
    { what: "enter a new namespace", rounds: STARTS, us: median(starts) },
    { what: "leave it", rounds: STARTS, us: median(ends) },
    { what: "a request to a warm NetnsWorker (getpid)", rounds: REQUESTS, us: there },
    { what: "a netlink request to it (RTM_GETLINK)", rounds: REQUESTS, us: asked },
    { what: "getpid on belay's own thread", rounds: REQUESTS, us: here },
  ];
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

if (import.meta.main) {
  for (const { what, rounds, us } of await benchNetnsWorker()) {
    console.log(`${us.toFixed(1).padStart(10)} µs  ${what} (median of ${rounds})`);
  }
  Deno.exit(0);
}
