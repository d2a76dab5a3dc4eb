/**
 * Neighbours: who has which hardware address (rtnetlink(7), struct ndmsg).
 *
 * @module
 */
import { AF, NDA, NLM_F, NUD, RTM } from "../abi/rtnetlink.ts";
import { raw } from "./attributes.ts";
import { familyOf, parseIp, parseMac, showIp, showMac } from "./ip_address.ts";
import { fixedPart, type NetlinkMessage, type NetlinkRequest, request } from "./message.ts";

const NDMSG_SIZE = 12;

/** A neighbour to be. */
export interface NeighbourOptions {
  /** The index of the link that it is reached by. */
  readonly link: number;
  /** Its IP address. */
  readonly address: string;
  /** Its hardware address. */
  readonly hardware: string;
  /** One of NUD: NUD_PERMANENT unless it is said. */
  readonly state?: number;
  /** An entry that exists is changed, not refused. */
  readonly replace?: boolean;
}

/** A neighbour, as the kernel tells of it. */
export interface Neighbour {
  readonly link: number;
  readonly address: string | undefined;
  readonly hardware: string | undefined;
  readonly state: number;
}

/** Adds a neighbour. EEXIST: there is one for the address. */
export function newNeighbour(options: NeighbourOptions): NetlinkRequest {
  const { link, address, hardware, state = NUD.NUD_PERMANENT, replace = false } = options;
  const ip = parseIp(address);
  return request(
    RTM.RTM_NEWNEIGH,
    NLM_F.NLM_F_CREATE | (replace ? NLM_F.NLM_F_REPLACE : NLM_F.NLM_F_EXCL),
    ndmsg(familyOf(ip), link, state),
    [raw(NDA.NDA_DST, ip), raw(NDA.NDA_LLADDR, parseMac(hardware))],
    `RTM_NEWNEIGH ${address} ${hardware} link ${link}`,
  );
}

/** Removes a neighbour. ENOENT: there is none such. */
export function deleteNeighbour(link: number, address: string): NetlinkRequest {
  const ip = parseIp(address);
  return request(
    RTM.RTM_DELNEIGH,
    0,
    ndmsg(familyOf(ip), link, NUD.NUD_PERMANENT),
    [raw(NDA.NDA_DST, ip)],
    `RTM_DELNEIGH ${address} link ${link}`,
  );
}

/** Lists the neighbours of all links. */
export function getNeighbours(family: number = AF.AF_UNSPEC): NetlinkRequest {
  return request(RTM.RTM_GETNEIGH, 0, ndmsg(family, 0, 0), [], "RTM_GETNEIGH");
}

/** Reads an answer to `getNeighbours`. @throws NetlinkFormatError */
export function parseNeighbour({ body }: NetlinkMessage): Neighbour {
  const { view, rest } = fixedPart(body, NDMSG_SIZE);
  const ip = rest.raw(NDA.NDA_DST);
  const mac = rest.raw(NDA.NDA_LLADDR);
  return {
    link: view.getInt32(4, true),
    address: ip?.length === 4 || ip?.length === 16 ? showIp(ip) : undefined,
    hardware: mac === undefined ? undefined : showMac(mac),
    state: view.getUint16(8, true),
  };
}

function ndmsg(family: number, link: number, state: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(NDMSG_SIZE);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, family);
  view.setInt32(4, link, true);
  view.setUint16(8, state, true);
  return bytes;
}
