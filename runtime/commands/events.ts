import type { Kernel } from "../../ffi/kernel.ts";
import type { Pidfd } from "../../ffi/pidfd.ts";
import { cancelReadable, waitReadable } from "../../ffi/readiness.ts";
import type { Run } from "../cli/command.ts";
import { CommandError } from "../cli/command_error.ts";
import { containerId } from "../cli/container_id.ts";
import { parseDuration } from "../cli/parse_duration.ts";
import { writeStdout } from "../cli/write_stdout.ts";
import { type OomWatch, watchOom } from "../cgroup/oom_watch.ts";
import { readStats } from "../cgroup/stats.ts";
import { seeContainer } from "../container/status.ts";
import { StateDir } from "../state/state_dir.ts";
import { hostThread } from "./host_thread.ts";

/** The longest that setTimeout takes, in milliseconds. */
const LONGEST_MS = 2 ** 31 - 1;

/**
 * `belay events`: what a container uses, as JSON, one object a line: once (`--stats`), or every `--interval` until it
 * has ended; and a line when it runs out of memory.
 */
export const run: Run = async ({ globals, flags, args }) => {
  const thread = hostThread();
  const interval = readInterval(flags.string("interval") ?? "");
  const id = containerId(args[0] ?? "");
  using dir = StateDir.expect(thread, globals.root, id);
  const state = dir.read();
  const { status, init } = seeContainer(thread, dir, state);
  using pidfd = init;
  if (pidfd === undefined || status === "creating" || status === "stopped") {
    throw new CommandError(`container with id ${id} is not running`);
  }
  const directories = state?.cgroups ?? [];
  const tell = (type: string, data?: unknown) =>
    writeStdout(json({ type, id, ...(data === undefined ? {} : { data }) }) + "\n");
  const tellStats = () => tell("stats", readStats(thread, directories));
  if (flags.bool("stats")) {
    tellStats();
    return 0;
  }
  using watch = watchOom(thread, directories);
  await follow(thread, pidfd, watch, interval, {
    tick: tellStats,
    oom: () => tell("oom"),
  });
  return 0;
};

function readInterval(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined) {
    throw new CommandError(`--interval: must be a duration like 5s or 1m30s, got "${text}"`);
  }
  if (ms <= 0) throw new CommandError("duration interval must be greater than 0");
  return Math.min(ms, LONGEST_MS);
}

/**
 * Until the process has ended. Its end is waited for by its pidfd, whatever becomes of its cgroup: an OOM kill and the
 * end may come together, in any order, and both are told.
 */
async function follow(
  kernel: Kernel,
  init: Pidfd,
  watch: OomWatch | undefined,
  intervalMs: number,
  tell: { readonly tick: () => void; readonly oom: () => void },
): Promise<void> {
  const { promise: failed, reject } = Promise.withResolvers<never>();
  const attempt = (work: () => void) => {
    try {
      work();
    } catch (error) {
      reject(error); // out of a timer or a wait, to whoever awaits `follow`
    }
  };
  let over = false;
  const timer = setInterval(() => attempt(tell.tick), intervalMs);
  const listening = watch === undefined ? undefined : (async () => {
    // Between two waits a cancellation would find nobody: then it is `over` that ends this.
    while (!over && await waitReadable(kernel, watch.fd)) {
      attempt(() => {
        if (watch.look()) tell.oom();
      });
    }
  })();
  try {
    await Promise.race([init.wait(), failed, listening ?? failed]);
  } finally {
    over = true;
    clearInterval(timer);
    cancelReadable(kernel, init.fd);
    if (watch !== undefined) cancelReadable(kernel, watch.fd);
    await listening;
  }
  if (watch?.look()) tell.oom();
}

/** JSON with whole numbers of 64 bits, digit by digit. */
function json(value: unknown): string {
  const { rawJSON } = JSON as unknown as { rawJSON: (text: string) => unknown };
  return JSON.stringify(value, (_, each) => typeof each === "bigint" ? rawJSON(`${each}`) : each);
}
