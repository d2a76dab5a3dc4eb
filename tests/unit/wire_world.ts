// What the tests of TAPs and redirections share: sandboxes, frames, and what is there.
import { assert } from "@std/assert";
import type { Remote } from "../../ffi/remote.ts";
import { getLink, getLinks, newVeth, parseLink, setLink } from "../../ffi/netlink/link.ts";
import { NetlinkError, NetlinkSocket } from "../../ffi/netlink/socket.ts";
import { getFilters, getQdiscs, parseFilter, parseQdisc } from "../../ffi/netlink/traffic.ts";
import { tolerate } from "../../ffi/call.ts";
import { SIGNAL } from "../../ffi/abi/signals.ts";
import { close, read } from "../../ffi/syscalls/file.ts";
import { POLL, ppoll } from "../../ffi/syscalls/event.ts";
import { NetnsWorker } from "../../runtime/netns/netns_worker.ts";
import { handOver, wireTap, type Wiring } from "../../runtime/netns/wire_tap.ts";
import { host, thread } from "../ffi_world.ts";
import { noFile, notRoot } from "../skip.ts";

export const obstacles = [notRoot(), noFile("/dev/net/tun")];
if (obstacles.every((each) => each === undefined)) {
  await using _warm = await NetnsWorker.enter(thread, "new");
}

/** Whether this kernel has tcx, asked of it. */
export async function noTcx(): Promise<string | undefined> {
  if (obstacles.some((each) => each !== undefined)) return undefined;
  await using worker = await NetnsWorker.enter(thread, "new");
  using socket = NetlinkSocket.open(worker);
  socket.do(newVeth("eth0", "peer"));
  try {
    const { fds } = wireTap(worker, { link: "eth0", name: "tap0", way: "links", record });
    for (const fd of fds) thread.call(close(fd));
    return undefined;
  } catch (error) {
    return `no tcx here: ${error instanceof Error ? error.message : error}`;
  }
}

export function record(): void {
  throw new Error("nothing is to be journalled here");
}

/** A namespace with an eth0, whose other end is in a second namespace. */
export interface Sandbox {
  readonly inside: NetnsWorker;
  readonly socket: NetlinkSocket;
  readonly outside: NetnsWorker;
}

export async function inSandbox(use: (sandbox: Sandbox) => void | Promise<void>): Promise<void> {
  await using inside = await NetnsWorker.enter(thread, "new");
  await using outside = await NetnsWorker.enter(thread, "new");
  using socket = NetlinkSocket.open(inside);
  using far = NetlinkSocket.open(outside);
  const fd = outside.openNamespace();
  socket.do(newVeth("eth0", "peer0", { mtu: 1400 }, { netns: fd, mtu: 1400 }));
  thread.call(close(fd));
  socket.do(setLink("eth0", { up: true }));
  far.do(setLink("peer0", { up: true }));
  await use({ inside, socket, outside });
}

/** A raw frame that nobody answers: what is in it is what is looked for. */
export function frame(mark: number): Uint8Array {
  const bytes = new Uint8Array(60).fill(mark, 14);
  bytes.set([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, mark, 0x88, 0xb5]); // an experimental type
  return bytes;
}

/** Whether a frame with that mark comes out of a TAP within a second or so. */
export function arrives(tap: number, mark: number): boolean {
  for (let waits = 0; waits < 200; waits++) {
    thread.call(ppoll([{ fd: tap, events: POLL.POLLIN }], 20));
    const bytes = thread.call(tolerate(read(tap, 2048), ["EAGAIN"], "nothing yet"));
    if (bytes !== undefined && bytes[12] === 0x88 && bytes[14] === mark) return true;
  }
  return false;
}

/** A TAP at the far end, bridged by filters to peer0: what is written to it goes out by peer0. */
export function farTap({ outside }: Sandbox): number {
  const { fds } = wireTap(outside, {
    link: "peer0",
    name: "far0",
    way: "filters",
    record: () => {},
  });
  const [fd] = fds;
  assert(fd !== undefined);
  return fd;
}

export const names = (socket: NetlinkSocket) =>
  socket.dump(getLinks()).map((each) => parseLink(each).name);
export const index = (socket: NetlinkSocket, name: string) =>
  parseLink(socket.ask(getLink(name))).index;
export const ingresses = (socket: NetlinkSocket) =>
  socket.dump(getQdiscs()).map(parseQdisc).filter(({ kind }) => kind === "ingress").length;
export const redirections = (socket: NetlinkSocket, link: string) => {
  try {
    return socket.dump(getFilters(index(socket, link))).map(parseFilter)
      .flatMap(({ redirectsTo }) => redirectsTo ?? []);
  } catch (error) {
    assert(error instanceof NetlinkError); // no ingress qdisc: no filters
    return [];
  }
};

/** Waits until links are gone that go some time after their last descriptor. */
export async function untilGone(socket: NetlinkSocket, name: string): Promise<void> {
  for (let i = 0; i < 1000 && names(socket).includes(name); i++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert(!names(socket).includes(name), `${name} stays`);
}

/** A process that has what a VMM would have, and is killed as one would be. */
export async function heldByVmm(
  wiring: Wiring,
  use: (vmm: Remote) => void | Promise<void>,
): Promise<void> {
  const vmm = host.spawn("vmm");
  try {
    handOver(thread, vmm, wiring);
    await use(vmm);
  } finally {
    vmm.pidfd.signal(SIGNAL.SIGKILL);
    vmm.pidfd.reap();
    vmm[Symbol.dispose]();
    vmm.pidfd[Symbol.dispose]();
  }
}
