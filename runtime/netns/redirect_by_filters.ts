import { TC_H } from "../../ffi/abi/rtnetlink.ts";
import { deleteLink, getLink, type Link, parseLink } from "../../ffi/netlink/link.ts";
import type { NetlinkRequest } from "../../ffi/netlink/message.ts";
import type { NetlinkSocket } from "../../ffi/netlink/socket.ts";
import {
  deleteFilters,
  deleteIngress,
  getFilters,
  getQdiscs,
  newIngress,
  newRedirect,
  parseFilter,
  parseQdisc,
  type Qdisc,
} from "../../ffi/netlink/traffic.ts";
import { isSyscallError } from "../../ffi/syscall_error.ts";

const HOOK = TC_H.TC_H_CLSACT_INGRESS;

/**
 * A redirection by filters, which the kernel does not take back when its VMM ends: written down before it is made
 * (DESIGN, law 5), and enough to take it back from any point at which making it was interrupted.
 */
export interface FilterWiring {
  readonly kind: "filters";
  /** The network namespace's inode. */
  readonly netns: number;
  /** The index of the link that the namespace is reached by. */
  readonly link: number;
  /** The index of the TAP, and its name, for a VMM that opens it by that. */
  readonly tap: number;
  readonly tapName: string;
  /** Whether the ingress qdisc of the link is made for this, or somebody else's that was there. */
  readonly ownQdisc: boolean;
  /** Whether the TAP outlives its descriptors. */
  readonly persistent: boolean;
}

/**
 * Sends what comes in by each of two links out by the other, the classic way: ingress qdiscs, u32, mirred.
 * @param record Writes down what is about to be made.
 */
export function redirectByFilters(
  socket: NetlinkSocket,
  netns: number,
  link: Link,
  tap: Link,
  record: (wiring: FilterWiring) => void,
  persistent = false,
): FilterWiring {
  const wiring: FilterWiring = {
    ...{ kind: "filters", netns, link: link.index, tap: tap.index, tapName: tap.name, persistent },
    ownQdisc: ingressOf(socket, link.index) === undefined,
  };
  record(wiring);
  try {
    if (wiring.ownQdisc) socket.do(newIngress(link.index));
    socket.do(newIngress(tap.index));
    socket.do(newRedirect(link.index, tap.index, HOOK));
    socket.do(newRedirect(tap.index, link.index, HOOK));
    return wiring;
  } catch (error) {
    takeBackFilters(socket, wiring);
    throw error;
  }
}

/**
 * Takes back a redirection, from any state. What is gone already is success, all steps run whatever fails, and what
 * others have put on the same link stays.
 * @returns What was there and is not any more, for people; nothing when there was nothing to do.
 * @throws AggregateError of everything that failed.
 */
export function takeBackFilters(socket: NetlinkSocket, wiring: FilterWiring): string[] {
  const done: string[] = [];
  const failures: unknown[] = [];
  const step = (what: string, remove: () => boolean) => {
    try {
      if (remove()) done.push(what);
    } catch (error) {
      failures.push(error); // told at the end: the other steps must run
    }
  };
  const { link, tap, tapName, ownQdisc, persistent } = wiring;
  const filters = () => gone(() => socket.dump(getFilters(link, HOOK)).map(parseFilter)) ?? [];
  step(`the filter on link ${link}`, () => {
    // A redirection to a device that is gone leads to 0, and swallows what comes in just as before.
    const ours = filters().filter(({ redirectsTo }) => redirectsTo === tap || redirectsTo === 0);
    const preferences = new Set(ours.map(({ preference }) => preference));
    const removed = [...preferences].filter((each) => did(socket, deleteFilters(link, each, HOOK)));
    return removed.length > 0;
  });
  step(`the ingress qdisc of link ${link}`, () => {
    if (!ownQdisc || ingressOf(socket, link)?.kind !== "ingress") return false;
    if (filters().some(({ redirectsTo }) => redirectsTo !== tap && redirectsTo !== 0)) return false;
    return did(socket, deleteIngress(link));
  });
  step(`TAP ${tapName}`, () => {
    // One that its VMM holds goes with the VMM. The name alone may be another's by now.
    if (!persistent) return false;
    const found = gone(() => parseLink(socket.ask(getLink(tap))));
    return found?.name === tapName && did(socket, deleteLink(tap));
  });
  if (failures.length > 0) {
    throw new AggregateError(failures, `the redirection between links ${link} and ${tap} stays`);
  }
  return done;
}

function ingressOf(socket: NetlinkSocket, link: number): Qdisc | undefined {
  return socket.dump(getQdiscs()).map(parseQdisc)
    .find((each) => each.link === link && (each.kind === "ingress" || each.kind === "clsact"));
}

/** Whether it was there to be removed. */
function did(socket: NetlinkSocket, request: NetlinkRequest): boolean {
  return gone(() => {
    socket.do(request);
    return true;
  }) ?? false;
}

/**
 * Undefined for what is gone: the link (ENODEV), the filter (ENOENT, ESRCH), the qdisc (ENOENT; EINVAL of its filters).
 */
function gone<T>(ask: () => T): T | undefined {
  try {
    return ask();
  } catch (error) {
    if (isSyscallError(error, "ENODEV", "ENOENT", "ESRCH", "EINVAL")) return undefined;
    throw error;
  }
}
