/**
 * Ids of network namespaces: numbers by which one namespace knows others (ip-netns(8), linux/net_namespace.h).
 *
 * @module
 */
import { NETNSA, NETNSA_NSID_NOT_ASSIGNED, RTM } from "../abi/rtnetlink.ts";
import { u32 } from "./attributes.ts";
import { fixedPart, type NetlinkMessage, type NetlinkRequest, request } from "./message.ts";

/** struct rtgenmsg, with what aligns it. */
const RTGENMSG_SIZE = 4;

/** Gives the namespace of a descriptor an id in the socket's namespace. EEXIST: it has one, or another has that. */
export function newNsid(netns: number, nsid: number): NetlinkRequest {
  return request(
    RTM.RTM_NEWNSID,
    0,
    new Uint8Array(RTGENMSG_SIZE),
    [u32(NETNSA.NETNSA_FD, netns), u32(NETNSA.NETNSA_NSID, nsid)],
    `RTM_NEWNSID ${nsid} netns ${netns}`,
  );
}

/** Asks by which id the socket's namespace knows the namespace of a descriptor: `parseNsid` reads the answer. */
export function getNsid(netns: number): NetlinkRequest {
  return request(
    RTM.RTM_GETNSID,
    0,
    new Uint8Array(RTGENMSG_SIZE),
    [u32(NETNSA.NETNSA_FD, netns)],
    `RTM_GETNSID netns ${netns}`,
  );
}

/** Lists the ids that the socket's namespace knows others by. */
export function getNsids(): NetlinkRequest {
  return request(RTM.RTM_GETNSID, 0, new Uint8Array(RTGENMSG_SIZE), [], "RTM_GETNSID");
}

/** Reads an answer to `getNsid` or `getNsids`: undefined for a namespace that has none. @throws NetlinkFormatError */
export function parseNsid({ body }: NetlinkMessage): number | undefined {
  const nsid = fixedPart(body, RTGENMSG_SIZE).rest.i32(NETNSA.NETNSA_NSID);
  return nsid === NETNSA_NSID_NOT_ASSIGNED ? undefined : nsid;
}
