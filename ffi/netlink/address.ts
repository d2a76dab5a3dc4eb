/**
 * Addresses of links (rtnetlink(7), struct ifaddrmsg).
 *
 * @module
 */
import { AF, IFA, NLM_F, RTM } from "../abi/rtnetlink.ts";
import { raw } from "./attributes.ts";
import { familyOf, parseIp, showIp } from "./ip_address.ts";
import { fixedPart, type NetlinkMessage, type NetlinkRequest, request } from "./message.ts";

const IFADDRMSG_SIZE = 8;

/** An address to give to a link or to take from it. */
export interface AddressOptions {
  /** The link's index. */
  readonly link: number;
  /** `10.0.0.1` or `fd00::1`. */
  readonly address: string;
  /** How many of its bits name the network: 24. */
  readonly prefix: number;
  /** The other end of a link that has only two; `prefix` is the other end's then. */
  readonly peer?: string;
  readonly broadcast?: string;
  /** Bits of IFA_F, of which IFA_F_NODAD uses an IPv6 address without asking around first. */
  readonly flags?: number;
}

/** An address of a link, as the kernel tells of it. */
export interface LinkAddress {
  /** The link's index. */
  readonly link: number;
  readonly address: string;
  readonly prefix: number;
  /** Bits of IFA_F. */
  readonly flags: number;
}

/** Gives an address to a link. EEXIST: it has it. */
export function newAddress(options: AddressOptions): NetlinkRequest {
  return about(RTM.RTM_NEWADDR, NLM_F.NLM_F_CREATE | NLM_F.NLM_F_EXCL, options, "RTM_NEWADDR");
}

/** Takes an address from a link. EADDRNOTAVAIL: it has none such. */
export function deleteAddress(options: AddressOptions): NetlinkRequest {
  return about(RTM.RTM_DELADDR, 0, options, "RTM_DELADDR");
}

/** Lists the addresses of all links. @param family AF_INET, AF_INET6, or AF_UNSPEC for both. */
export function getAddresses(family: number = AF.AF_UNSPEC): NetlinkRequest {
  return request(RTM.RTM_GETADDR, 0, ifaddrmsg(family, 0, 0, 0), [], "RTM_GETADDR");
}

/** Reads an answer to `getAddresses`. @throws NetlinkFormatError */
export function parseAddress({ body }: NetlinkMessage): LinkAddress {
  const { view, rest } = fixedPart(body, IFADDRMSG_SIZE);
  const bytes = rest.raw(IFA.IFA_LOCAL) ?? rest.raw(IFA.IFA_ADDRESS);
  return {
    link: view.getUint32(4, true),
    address: bytes?.length === 4 || bytes?.length === 16 ? showIp(bytes) : "",
    prefix: view.getUint8(1),
    flags: rest.u32(IFA.IFA_FLAGS) ?? view.getUint8(2),
  };
}

function about(
  type: number,
  nlFlags: number,
  { link, address, prefix, peer, broadcast, flags = 0 }: AddressOptions,
  what: string,
): NetlinkRequest {
  const local = parseIp(address);
  return request(
    type,
    nlFlags,
    ifaddrmsg(familyOf(local), prefix, flags, link),
    [
      raw(IFA.IFA_LOCAL, local),
      ...(broadcast === undefined ? [] : [raw(IFA.IFA_BROADCAST, parseIp(broadcast))]),
      raw(IFA.IFA_ADDRESS, peer === undefined ? local : parseIp(peer)),
    ],
    `${what} ${address}/${prefix} link ${link}`,
  );
}

function ifaddrmsg(family: number, prefix: number, flags: number, link: number) {
  const bytes = new Uint8Array(IFADDRMSG_SIZE);
  bytes.set([family, prefix, flags]);
  new DataView(bytes.buffer).setUint32(4, link, true);
  return bytes;
}
