import { fixedPart, type NetlinkMessage } from "../../../ffi/netlink/message.ts";
import { deleteLink, getLink, getLinks, type Link, parseLink } from "../../../ffi/netlink/link.ts";
import type { NetlinkSocket } from "../../../ffi/netlink/socket.ts";
import {
  deleteFilters,
  deleteIngress,
  type Filter,
  getFilters,
  getQdiscs,
  type IngressKind,
  parseFilter,
  parseQdisc,
} from "../../../ffi/netlink/traffic.ts";
import { isSyscallError } from "../../../ffi/syscall_error.ts";
import { type Case, GONE } from "./finding.ts";
import type { Taps } from "./taps.ts";
import type { Visits } from "./visits.ts";

/** struct ifinfomsg, and linux/if_link.h: whether anybody is at the other end of the wire. */
const IFINFOMSG_SIZE = 16;
const IFLA_CARRIER = 33;

/** What is wrong with the links of a namespace. */
export function examineLinks(visits: Visits, inode: number, taps: Taps): Case[] {
  return visits.inside(inode, (socket) => {
    const messages = socket.dump(getLinks());
    const links = messages.map((message) => ({
      ...parseLink(message),
      carrier: carrierOf(message),
    }));
    const qdiscs = socket.dump(getQdiscs()).map(parseQdisc);
    return [
      ...links.flatMap((link) =>
        link.kind === "tun" && !link.carrier ? tap(visits, inode, link, taps) : []
      ),
      ...links.flatMap((link) => link.kind === "veth" ? veth(visits, inode, socket, link) : []),
      ...links.flatMap((link) =>
        qdiscs.filter((each) =>
          each.link === link.index && (each.kind === "ingress" || each.kind === "clsact")
        ).flatMap(({ kind }) => filters(visits, inode, socket, link, kind as IngressKind))
      ),
    ];
  });
}

function carrierOf({ body }: NetlinkMessage): boolean {
  return fixedPart(body, IFINFOMSG_SIZE).rest.u8(IFLA_CARRIER) !== 0;
}

/** A tun or TAP device that lives on without a descriptor: it is persistent. A process may yet come for it. */
function tap(visits: Visits, inode: number, link: Link, taps: Taps): Case[] {
  if (taps.unknown > 0 || taps.has(inode, link.name)) return [];
  return [{
    finding: {
      ...{ kind: "tap", netns: inode, link: link.name, certain: false },
      what: `${link.name} is a persistent tun or TAP device that no process has`,
      remedy: `delete ${link.name}`,
    },
    cure: () =>
      removeLink(visits, inode, link, (now) => {
        if (carrierOf(now)) throw new Error(`a process has ${link.name} by now`);
      }),
  }];
}

/**
 * A veth whose peer is in a namespace that nothing within sight holds. The kernel gives the peer's namespace a number:
 * one of those that were found must have that number here.
 */
function veth(visits: Visits, inode: number, socket: NetlinkSocket, link: Link): Case[] {
  const { peerNsid, name } = link;
  if (peerNsid === undefined || peerNsid < 0) return []; // beside it, or going at this moment
  if (visits.byNsid(socket, peerNsid) !== undefined || visits.closed > 0) return [];
  return [{
    finding: {
      ...{ kind: "veth", netns: inode, link: name, certain: false },
      what: `the other end of ${name} is in a namespace (nsid ${peerNsid}) that nobody within ` +
        `sight holds`,
      remedy: `delete ${name}, and with it its other end`,
    },
    cure: () => removeLink(visits, inode, link),
  }];
}

/** Filters that redirect to a link that is gone: they swallow whatever comes in. */
function filters(
  visits: Visits,
  inode: number,
  socket: NetlinkSocket,
  { index, name }: Link,
  qdisc: IngressKind,
): Case[] {
  const dead = filtersOf(socket, index).filter((each) => each.dead);
  const preferences = new Set(dead.map(({ preference }) => preference));
  return [...preferences].map((preference): Case => ({
    finding: {
      ...{ kind: "filter", netns: inode, link: name, certain: true },
      what: `a filter (preference ${preference}) sends what comes in by ${name} to a link that ` +
        `is gone: ${name} is deaf`,
      remedy: "delete the filter, and its qdisc when it was the last one there",
    },
    cure: () =>
      visits.inside(inode, (socket) => removeFilter(socket, { index, name }, preference, qdisc)),
  }));
}

/** Deletes the dead filters of one preference, if they still are. @throws Error when others share it */
function removeFilter(
  socket: NetlinkSocket,
  { index, name }: Pick<Link, "index" | "name">,
  preference: number,
  qdisc: IngressKind,
): string {
  const all = filtersOf(socket, index);
  const ours = all.filter((each) => each.preference === preference);
  if (!ours.some(({ dead }) => dead)) return GONE;
  if (!ours.every(({ dead }) => dead)) {
    throw new Error(`other filters on ${name} have preference ${preference}, too`);
  }
  // In one call, where it can be: what is ended in the middle must not leave half of it.
  if (qdisc === "ingress" && all.every(({ dead }) => dead)) {
    socket.do(deleteIngress(index, qdisc));
    return `deleted the filter and the ${qdisc} qdisc from ${name}`;
  }
  socket.do(deleteFilters(index, preference));
  return `deleted the filter from ${name}`;
}

/** What hangs on a link's ingress qdisc, and whether it sends packets to a link that is gone. */
export function filtersOf(
  socket: Pick<NetlinkSocket, "dump">,
  link: number,
): (Filter & { readonly dead: boolean })[] {
  const found = socket.dump(getFilters(link)).map(parseFilter).filter(isFilter);
  if (found.every(({ redirectsTo }) => redirectsTo === undefined)) {
    return found.map((each) => ({ ...each, dead: false }));
  }
  // After the filters: a link that came meanwhile may be the one that a filter was made for.
  const links = new Set(socket.dump(getLinks()).map((each) => parseLink(each).index));
  return found.map((each) => ({
    ...each,
    dead: each.redirectsTo !== undefined && !links.has(each.redirectsTo),
  }));
}

/** Not one of u32's tables, which the kernel lists among the filters: those have no number in their table. */
function isFilter({ kind, handle }: Filter): boolean {
  return handle !== 0 && (kind !== "u32" || (handle & 0xfff) !== 0);
}

/** Deletes a link. @param check Throws when it is no longer what was found. */
function removeLink(
  visits: Visits,
  inode: number,
  { index, name }: Link,
  check: (now: NetlinkMessage) => void = () => {},
): string {
  return visits.inside(inode, (socket) => {
    try {
      const now = socket.ask(getLink(index));
      if (parseLink(now).name !== name) return GONE; // another has its number, or it has another name
      check(now);
      socket.do(deleteLink(index));
      return `deleted ${name}`;
    } catch (error) {
      if (isSyscallError(error, "ENODEV")) return GONE; // its other end, or its namespace, went before
      throw error;
    }
  });
}
