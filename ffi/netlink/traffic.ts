/**
 * Traffic control: queueing disciplines that packets come in by, and filters that send them to another link (tc(8),
 * struct tcmsg).
 *
 * @module
 */
import {
  ETH_P_ALL,
  NLA_F,
  NLM_F,
  RTM,
  TC_ACT_STOLEN,
  TC_H,
  TC_U32_TERMINAL,
  TCA,
  TCA_ACT,
  TCA_EGRESS_REDIR,
  TCA_MIRRED_PARMS,
  TCA_U32,
} from "../abi/rtnetlink.ts";
import { type Attribute, Attributes, decodeAttributes, nest, raw, text } from "./attributes.ts";
import { fixedPart, type NetlinkMessage, type NetlinkRequest, request } from "./message.ts";

const TCMSG_SIZE = 20;
/** struct tc_u32_sel with one struct tc_u32_key behind it, and where the number of keys and the key are. */
const SELECTOR = { size: 32, flags: 0, keys: 2 } as const;
/** struct tc_mirred: what becomes of the packet, what mirred does, and the link's index. */
const MIRRED = { size: 28, action: 8, eaction: 20, ifindex: 24 } as const;

/** A queueing discipline that only what comes in passes. */
export type IngressKind = "ingress" | "clsact";

/** A queueing discipline, as the kernel tells of it. */
export interface Qdisc {
  /** The link's index. */
  readonly link: number;
  readonly kind: string;
  readonly handle: number;
  readonly parent: number;
}

/** A filter, as the kernel tells of it. */
export interface Filter {
  /** The index of the link that it is on. */
  readonly link: number;
  readonly kind: string;
  readonly parent: number;
  /** Its preference: filters are asked in this order. */
  readonly preference: number;
  readonly handle: number;
  /** The index of the link that mirred sends packets to; 0 when that link is gone ("device *"). */
  readonly redirectsTo: number | undefined;
}

/** Adds what filters of incoming packets hang on. EEXIST: the link has one. */
export function newIngress(link: number, kind: IngressKind = "ingress"): NetlinkRequest {
  const flags = NLM_F.NLM_F_CREATE | NLM_F.NLM_F_EXCL;
  return ingress(RTM.RTM_NEWQDISC, flags, link, kind, "RTM_NEWQDISC");
}

/** Removes it, with all filters on it. ENOENT, EINVAL: the link has none; ENODEV: there is no such link. */
export function deleteIngress(link: number, kind: IngressKind = "ingress"): NetlinkRequest {
  return ingress(RTM.RTM_DELQDISC, 0, link, kind, "RTM_DELQDISC");
}

/** Lists the queueing disciplines of all links. */
export function getQdiscs(): NetlinkRequest {
  return request(RTM.RTM_GETQDISC, 0, tcmsg({}), [], "RTM_GETQDISC");
}

/**
 * Sends every packet that comes in by a link with an ingress qdisc out by another: u32 that matches all, and mirred.
 * Asked twice, there are two. ENOENT or EINVAL: no ingress qdisc; ENODEV: one of the links is gone.
 * @param parent Where it hangs: TC_H_FFFF of an ingress qdisc, or TC_H_CLSACT_INGRESS of that or of a clsact.
 */
export function newRedirect(
  from: number,
  to: number,
  parent: number = TC_H.TC_H_FFFF,
): NetlinkRequest {
  const selector = new Uint8Array(SELECTOR.size); // a key of zeros: no bit of any packet is looked at
  selector[SELECTOR.flags] = TC_U32_TERMINAL;
  selector[SELECTOR.keys] = 1;
  const mirred = new Uint8Array(MIRRED.size);
  const view = new DataView(mirred.buffer);
  view.setUint32(MIRRED.action, TC_ACT_STOLEN, true);
  view.setUint32(MIRRED.eaction, TCA_EGRESS_REDIR, true);
  view.setUint32(MIRRED.ifindex, to, true);
  const action = nest(1, [
    text(TCA_ACT.TCA_ACT_KIND, "mirred"),
    nest(TCA_ACT.TCA_ACT_OPTIONS | NLA_F.NLA_F_NESTED, [raw(TCA_MIRRED_PARMS, mirred)]),
  ]);
  const options: Attribute[] = [
    nest(TCA_U32.TCA_U32_ACT, [action]),
    raw(TCA_U32.TCA_U32_SEL, selector),
  ];
  return request(
    RTM.RTM_NEWTFILTER,
    NLM_F.NLM_F_CREATE | NLM_F.NLM_F_EXCL,
    tcmsg({ link: from, parent, info: networkOrder(ETH_P_ALL) }),
    [text(TCA.TCA_KIND, "u32"), nest(TCA.TCA_OPTIONS, options)],
    `RTM_NEWTFILTER link ${from} redirect to link ${to}`,
  );
}

/** Removes the filters of one preference, or all, from the ingress qdisc of a link. ENOENT, EINVAL: there are none. */
export function deleteFilters(
  link: number,
  preference?: number,
  parent: number = TC_H.TC_H_FFFF,
): NetlinkRequest {
  const info = preference === undefined
    ? 0
    : (preference * 0x10000 + networkOrder(ETH_P_ALL)) >>> 0;
  return request(
    RTM.RTM_DELTFILTER,
    0,
    tcmsg({ link, parent, info }),
    preference === undefined ? [] : [text(TCA.TCA_KIND, "u32")],
    `RTM_DELTFILTER link ${link}${preference === undefined ? "" : ` pref ${preference}`}`,
  );
}

/** Lists the filters on the ingress qdisc of a link. */
export function getFilters(link: number, parent: number = TC_H.TC_H_FFFF): NetlinkRequest {
  const fixed = tcmsg({ link, parent });
  return request(RTM.RTM_GETTFILTER, 0, fixed, [], `RTM_GETTFILTER link ${link}`);
}

/** Reads an answer to `getQdiscs`. @throws NetlinkFormatError */
export function parseQdisc({ body }: NetlinkMessage): Qdisc {
  const { view, rest } = fixedPart(body, TCMSG_SIZE);
  return {
    link: view.getInt32(4, true),
    kind: rest.text(TCA.TCA_KIND) ?? "",
    handle: view.getUint32(8, true),
    parent: view.getUint32(12, true),
  };
}

/** Reads an answer to `getFilters`. @throws NetlinkFormatError */
export function parseFilter({ body }: NetlinkMessage): Filter {
  const { view, rest } = fixedPart(body, TCMSG_SIZE);
  const kind = rest.text(TCA.TCA_KIND) ?? "";
  return {
    link: view.getInt32(4, true),
    kind,
    parent: view.getUint32(12, true),
    preference: view.getUint32(16, true) >>> 16,
    handle: view.getUint32(8, true),
    redirectsTo: kind === "u32" ? redirection(rest.nested(TCA.TCA_OPTIONS)) : undefined,
  };
}

/** The link that the first mirred of a u32 filter's actions redirects to. */
function redirection(options: Attributes): number | undefined {
  for (const { bytes } of decodeAttributes(options.raw(TCA_U32.TCA_U32_ACT) ?? new Uint8Array())) {
    const action = new Attributes(bytes);
    if (action.text(TCA_ACT.TCA_ACT_KIND) !== "mirred") continue;
    const mirred = action.nested(TCA_ACT.TCA_ACT_OPTIONS).raw(TCA_MIRRED_PARMS);
    if (mirred === undefined || mirred.length < MIRRED.size) continue;
    const view = new DataView(mirred.buffer, mirred.byteOffset, mirred.length);
    if (view.getUint32(MIRRED.eaction, true) !== TCA_EGRESS_REDIR) continue;
    return view.getUint32(MIRRED.ifindex, true);
  }
  return undefined;
}

function ingress(
  type: number,
  flags: number,
  link: number,
  kind: IngressKind,
  what: string,
): NetlinkRequest {
  return request(
    type,
    flags,
    tcmsg({ link, handle: TC_H.TC_H_FFFF, parent: TC_H.TC_H_INGRESS }),
    [text(TCA.TCA_KIND, kind)],
    `${what} link ${link} ${kind}`,
  );
}

function networkOrder(number: number): number {
  return (number & 0xff) << 8 | number >> 8;
}

function tcmsg(
  { link = 0, handle = 0, parent = 0, info = 0 }: {
    link?: number;
    handle?: number;
    parent?: number;
    info?: number;
  },
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(TCMSG_SIZE);
  const view = new DataView(bytes.buffer);
  view.setInt32(4, link, true);
  view.setUint32(8, handle, true);
  view.setUint32(12, parent, true);
  view.setUint32(16, info, true);
  return bytes;
}
