/**
 * Waiting for descriptors and for time.
 *
 * @module
 */
import { type Call, Call as SystemCall, call, effect, type Fd, Struct } from "../call.ts";
import { flags, named } from "../show.ts";

/** poll(2) events. */
export const POLL = { POLLIN: 1, POLLOUT: 4, POLLERR: 8, POLLHUP: 0x10 } as const;

/** epoll(7) events and commands. */
export const EPOLL = { EPOLLIN: 1, EPOLLOUT: 4, EPOLLERR: 8, EPOLLHUP: 0x10 } as const;
/** epoll_ctl(2) commands. */
export const EPOLL_CTL = { EPOLL_CTL_ADD: 1, EPOLL_CTL_DEL: 2, EPOLL_CTL_MOD: 3 } as const;

/** struct epoll_event is packed on x86_64 alone (sys/epoll.h): where its data starts, and its size. */
export const EPOLL_EVENT = Deno.build.arch === "x86_64"
  ? { data: 4, size: 12 } as const
  : { data: 8, size: 16 } as const;

function timespec(ms: number): Struct {
  const seconds = Math.floor(ms / 1000);
  const fields = [[0, 8, seconds], [8, 8, Math.round((ms - seconds * 1000) * 1e6)]] as const;
  return new Struct(16, fields, false, () => `${ms} ms`);
}

/**
 * ppoll(2) on some descriptors: the events of each, in order; all 0 when the time was up.
 * @param timeoutMs Milliseconds, undefined for ever.
 */
export function ppoll(
  wanted: readonly { fd: number; events: number }[],
  timeoutMs?: number,
): Call<number[]> {
  const fields = wanted.flatMap(({ fd, events }, i) =>
    [[i * 8, 4, fd], [i * 8 + 4, 2, events]] as const
  );
  const polled = new Struct(
    wanted.length * 8,
    fields,
    true,
    () => `[${wanted.map((w) => w.fd).join(", ")}]`,
  );
  const timeout = timeoutMs === undefined ? 0 : timespec(timeoutMs);
  return new SystemCall(
    "ppoll",
    [polled, wanted.length, timeout, 0, 8],
    () => wanted.map((_, i) => polled.view().getInt16(i * 8 + 6, true)),
  );
}

/** clock_nanosleep(2) on CLOCK_MONOTONIC. */
export function sleep(ms: number): Call<void> {
  return effect("clock_nanosleep", 1, 0, timespec(ms), 0);
}

/** epoll_create1(2), close-on-exec. */
export function epoll_create1(): Call<number> {
  return call("epoll_create1", flags(0o2000000, { EPOLL_CLOEXEC: 0o2000000 }));
}

/** epoll_ctl(2); the event's data is the descriptor. */
export function epoll_ctl(epoll: Fd, command: number, fd: number, events: number): Call<void> {
  const fields = [[0, 4, events], [EPOLL_EVENT.data, 4, fd]] as const;
  const event = new Struct(EPOLL_EVENT.size, fields, false, () => `{0x${events.toString(16)}}`);
  return effect("epoll_ctl", epoll, named(command, EPOLL_CTL), fd, event);
}

/** eventfd2(2): a counter at 0, close-on-exec. */
export function eventfd2(): Call<number> {
  return call("eventfd2", 0, flags(0o2000000, { EFD_CLOEXEC: 0o2000000 }));
}

/** inotify_init1(2), close-on-exec; a read(2) of nothing is EAGAIN. */
export function inotify_init1(): Call<number> {
  const names = { IN_CLOEXEC: 0o2000000, IN_NONBLOCK: 0o4000 };
  return call("inotify_init1", flags(names.IN_CLOEXEC | names.IN_NONBLOCK, names));
}

/** inotify(7) events. */
export const IN = { IN_MODIFY: 0x2 } as const;

/** inotify_add_watch(2): the watch's number. */
export function inotify_add_watch(fd: Fd, path: string, events: number): Call<number> {
  return call("inotify_add_watch", fd, path, flags(events, IN));
}
