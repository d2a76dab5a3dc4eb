/**
 * Links: network devices (rtnetlink(7), struct ifinfomsg).
 *
 * @module
 */
import {
  IFLA,
  IFLA_INFO,
  IFLA_MACVLAN_MODE,
  LINK_FLAGS,
  MACVLAN_MODE,
  NLM_F,
  RTEXT_FILTER_SKIP_STATS,
  RTM,
  VETH_INFO_PEER,
} from "../abi/rtnetlink.ts";
import { type Attribute, nest, raw, text, u32, word } from "./attributes.ts";
import { parseMac, showMac } from "./ip_address.ts";
import { fixedPart, type NetlinkMessage, type NetlinkRequest, request } from "./message.ts";

const IFINFOMSG_SIZE = 16;
/** Bytes of a link's name without its NUL (linux/if.h, IFNAMSIZ - 1). */
const LONGEST_NAME = 15;

/** Which link: by its index, or by its name. */
export type LinkRef = number | string;

/** What a new link may have beside its name. */
export interface LinkOptions {
  readonly mtu?: number;
  /** Its hardware address: `02:00:00:00:00:01`. */
  readonly address?: string;
  /** A descriptor of the network namespace that it is made in; without one: the socket's. */
  readonly netns?: number;
}

/** What may be changed of a link. */
export interface LinkChanges extends LinkOptions {
  readonly up?: boolean;
  /** Its new name. */
  readonly name?: string;
  /** The index of the bridge that it becomes a port of; 0 for none. */
  readonly master?: number;
}

/** A link, as the kernel tells of it. */
export interface Link {
  readonly index: number;
  readonly name: string;
  /** Bits of LINK_FLAGS. */
  readonly flags: number;
  readonly up: boolean;
  readonly mtu: number;
  /** Its hardware address; empty where it has none. */
  readonly address: string;
  /** What it is: `veth`, `bridge`, `tun`; undefined for what is no virtual device. */
  readonly kind: string | undefined;
  /** The index of the link that it hangs on, or of its peer, in the namespace that `peerNsid` names. */
  readonly peer: number | undefined;
  /** The id, in the socket's namespace, of the namespace that `peer` is in; undefined: the same one. */
  readonly peerNsid: number | undefined;
  /** The index of the bridge that it is a port of. */
  readonly master: number | undefined;
  /** The kind of its root queueing discipline. */
  readonly qdisc: string | undefined;
}

/** A pair of links that are each other's wire; each end may be made in a namespace of its own. EEXIST: a name is taken. */
export function newVeth(
  name: string,
  peer: string,
  options: LinkOptions = {},
  peerOptions: LinkOptions = {},
): NetlinkRequest {
  const other = nest(VETH_INFO_PEER, named(peer, peerOptions), ifinfomsg());
  return newLink(name, "veth", options, [other]);
}

/** A bridge. */
export function newBridge(name: string, options: LinkOptions = {}): NetlinkRequest {
  return newLink(name, "bridge", options);
}

/** A link with an address of its own on another link, which is in the socket's namespace. */
export function newMacvlan(
  name: string,
  parent: number,
  mode: keyof typeof MACVLAN_MODE,
  options: LinkOptions = {},
): NetlinkRequest {
  const how = u32(IFLA_MACVLAN_MODE, MACVLAN_MODE[mode]);
  return newLink(name, "macvlan", options, [how], [u32(IFLA.IFLA_LINK, parent)]);
}

/**
 * Changes a link. ENODEV: there is none.
 * @throws TypeError for a new name of a link that is named, not numbered: one attribute carries both.
 */
export function setLink(link: LinkRef, changes: LinkChanges): NetlinkRequest {
  const { up, name, master } = changes;
  if (name !== undefined && typeof link === "string") {
    throw new TypeError(`${link}: a link is renamed by its index`);
  }
  const said = Object.entries(changes).map(([key, value]) => `${key} ${value}`).join(" ");
  const flags = up === undefined
    ? {}
    : { flags: up ? LINK_FLAGS.IFF_UP : 0, change: LINK_FLAGS.IFF_UP };
  return request(
    RTM.RTM_NEWLINK,
    0,
    ifinfomsg({ ...refIndex(link), ...flags }),
    [
      ...refName(link),
      ...optional(changes),
      ...(master === undefined ? [] : [u32(IFLA.IFLA_MASTER, master)]),
      ...(name === undefined ? [] : [text(IFLA.IFLA_IFNAME, checkedName(name))]),
    ],
    `RTM_NEWLINK ${link} ${said}`,
  );
}

/** Deletes a link; of a veth both ends. ENODEV: there is none. */
export function deleteLink(link: LinkRef): NetlinkRequest {
  return request(
    RTM.RTM_DELLINK,
    0,
    ifinfomsg(refIndex(link)),
    refName(link),
    `RTM_DELLINK ${link}`,
  );
}

/** Asks for one link: `parseLink` reads the answer. ENODEV: there is none. */
export function getLink(link: LinkRef): NetlinkRequest {
  const mask = u32(IFLA.IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  return request(
    RTM.RTM_GETLINK,
    0,
    ifinfomsg(refIndex(link)),
    [mask, ...refName(link)],
    `RTM_GETLINK ${link}`,
  );
}

/** Lists the links. */
export function getLinks(): NetlinkRequest {
  const mask = u32(IFLA.IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  return request(RTM.RTM_GETLINK, 0, ifinfomsg(), [mask], "RTM_GETLINK");
}

/** Reads an answer to `getLink` or `getLinks`. @throws NetlinkFormatError */
export function parseLink({ body }: NetlinkMessage): Link {
  const { view, rest } = fixedPart(body, IFINFOMSG_SIZE);
  const flags = view.getUint32(8, true);
  return {
    index: view.getInt32(4, true),
    name: rest.text(IFLA.IFLA_IFNAME) ?? "",
    flags,
    up: (flags & LINK_FLAGS.IFF_UP) !== 0,
    mtu: rest.u32(IFLA.IFLA_MTU) ?? 0,
    address: showMac(rest.raw(IFLA.IFLA_ADDRESS) ?? new Uint8Array()),
    kind: rest.nested(IFLA.IFLA_LINKINFO).text(IFLA_INFO.IFLA_INFO_KIND),
    peer: rest.u32(IFLA.IFLA_LINK),
    peerNsid: rest.i32(IFLA.IFLA_LINK_NETNSID),
    master: rest.u32(IFLA.IFLA_MASTER),
    qdisc: rest.text(IFLA.IFLA_QDISC),
  };
}

function newLink(
  name: string,
  kind: string,
  options: LinkOptions,
  data: readonly Attribute[] = [],
  first: readonly Attribute[] = [],
): NetlinkRequest {
  const info = [
    word(IFLA_INFO.IFLA_INFO_KIND, kind),
    ...(data.length === 0 ? [] : [nest(IFLA_INFO.IFLA_INFO_DATA, data)]),
  ];
  return request(
    RTM.RTM_NEWLINK,
    NLM_F.NLM_F_CREATE | NLM_F.NLM_F_EXCL,
    ifinfomsg(),
    [...first, ...named(name, options), nest(IFLA.IFLA_LINKINFO, info)],
    `RTM_NEWLINK ${name} (${kind})`,
  );
}

function named(name: string, options: LinkOptions): Attribute[] {
  return [...optional(options), text(IFLA.IFLA_IFNAME, checkedName(name))];
}

function optional({ mtu, address, netns }: LinkOptions): Attribute[] {
  return [
    ...(mtu === undefined ? [] : [u32(IFLA.IFLA_MTU, mtu)]),
    ...(address === undefined ? [] : [raw(IFLA.IFLA_ADDRESS, parseMac(address))]),
    ...(netns === undefined ? [] : [u32(IFLA.IFLA_NET_NS_FD, netns)]),
  ];
}

function refIndex(link: LinkRef): { index?: number } {
  return typeof link === "number" ? { index: link } : {};
}

function refName(link: LinkRef): Attribute[] {
  return typeof link === "number" ? [] : [text(IFLA.IFLA_IFNAME, checkedName(link))];
}

/** The kernel would cut a longer one, and another link may have that name. @throws RangeError */
function checkedName(name: string): string {
  const { length } = new TextEncoder().encode(name);
  if (length > 0 && length <= LONGEST_NAME) return name;
  throw new RangeError(`${JSON.stringify(name)}: a link's name has 1 to ${LONGEST_NAME} bytes`);
}

function ifinfomsg(
  { index = 0, flags = 0, change = 0 }: { index?: number; flags?: number; change?: number } = {},
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(IFINFOMSG_SIZE);
  const view = new DataView(bytes.buffer);
  view.setInt32(4, index, true);
  view.setUint32(8, flags, true);
  view.setUint32(12, change, true);
  return bytes;
}
