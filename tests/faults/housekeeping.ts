// What a process that runs many commands of belay must do for itself: reap, close, compare.
import { call } from "../../ffi/call.ts";
import { Thread } from "../../ffi/thread.ts";
import type { Census } from "../e2e/census.ts";

const thread = new Thread();

/** All children of this process, zombies, too. */
export function children(): number[] {
  const tasks = [...Deno.readDirSync("/proc/self/task")].map(({ name }) => name);
  return tasks.flatMap((task) => {
    try {
      const text = Deno.readTextFileSync(`/proc/self/task/${task}/children`);
      return text.split(" ").filter((pid) => pid !== "").map(Number);
    } catch {
      return []; // a thread that has ended
    }
  });
}

/** waitid(P_PID, pid, NULL, WEXITED | WNOHANG) */
export function reap(pid: number): void {
  try {
    thread.call(call("waitid", 1, pid, 0, 5, 0));
  } catch {
    // Not ended.
  }
}

/** Each run of belay keeps the stub's image open to its end; here the runs share a process. */
export function closeImages(): void {
  for (const { name } of [...Deno.readDirSync("/proc/self/fd")]) {
    try {
      const path = Deno.readLinkSync(`/proc/self/fd/${name}`);
      if (/^\/memfd:belay-stub|\/state\/#\d+ /.test(path)) thread.call(call("close", Number(name)));
    } catch {
      // The one that read the directory.
    }
  }
}

/** What a census has that another has not, and the other way round. */
export function difference(before: Census, now: Census): string[] {
  return Object.keys(now).flatMap((kind) => {
    const [old, all] = [before[kind] ?? [], now[kind] ?? []];
    const [was, is] = [count(old), count(all)];
    return [...new Set([...old, ...all])].flatMap((each) => {
      const change = (is.get(each) ?? 0) - (was.get(each) ?? 0);
      return change === 0 ? [] : [`${kind}: ${change > 0 ? "+" : ""}${change} ${each}`];
    });
  });
}

function count(all: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const each of all) counts.set(each, (counts.get(each) ?? 0) + 1);
  return counts;
}
