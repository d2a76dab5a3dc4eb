/**
 * Routes (rtnetlink(7), struct rtmsg).
 *
 * @module
 */
import { AF, NLM_F, RT, RTA, RTM } from "../abi/rtnetlink.ts";
import { raw, u32 } from "./attributes.ts";
import { familyOf, parseIp, showIp } from "./ip_address.ts";
import { fixedPart, type NetlinkMessage, type NetlinkRequest, request } from "./message.ts";

const RTMSG_SIZE = 12;

/** Where packets go. At least one of `gateway` and `link` is there. */
export interface RouteOptions {
  /** To whom: `192.168.7.0`, with `prefix`; without it, the default route. */
  readonly destination?: string;
  readonly prefix?: number;
  /** Over whom. */
  readonly gateway?: string;
  /** The index of the link that they leave by. */
  readonly link?: number;
  /** The family of a default route without a gateway: AF_INET unless it is said. */
  readonly family?: number;
}

/** A route, as the kernel tells of it. */
export interface Route {
  readonly family: number;
  /** Undefined for the default route. */
  readonly destination: string | undefined;
  readonly prefix: number;
  readonly gateway: string | undefined;
  readonly link: number | undefined;
  readonly table: number;
}

/** Adds a route to the main table. EEXIST: there is one; ENETUNREACH: the gateway cannot be reached. */
export function newRoute(options: RouteOptions): NetlinkRequest {
  const scope = options.gateway !== undefined || familyIn(options) === AF.AF_INET6
    ? RT.RT_SCOPE_UNIVERSE
    : RT.RT_SCOPE_LINK;
  const kind = [RT.RTPROT_BOOT, scope, RT.RTN_UNICAST];
  return about(
    RTM.RTM_NEWROUTE,
    NLM_F.NLM_F_CREATE | NLM_F.NLM_F_EXCL,
    options,
    kind,
    "RTM_NEWROUTE",
  );
}

/** Removes a route from the main table. ESRCH: there is none such. */
export function deleteRoute(options: RouteOptions): NetlinkRequest {
  const kind = [RT.RTPROT_UNSPEC, RT.RT_SCOPE_NOWHERE, RT.RTN_UNSPEC];
  return about(RTM.RTM_DELROUTE, 0, options, kind, "RTM_DELROUTE");
}

/** Lists the routes of a family: of all tables, `local` among them. */
export function getRoutes(family: number = AF.AF_UNSPEC): NetlinkRequest {
  const bytes = new Uint8Array(RTMSG_SIZE);
  bytes[0] = family;
  return request(RTM.RTM_GETROUTE, 0, bytes, [], "RTM_GETROUTE");
}

/** Reads an answer to `getRoutes`. @throws NetlinkFormatError */
export function parseRoute({ body }: NetlinkMessage): Route {
  const { view, rest } = fixedPart(body, RTMSG_SIZE);
  const ip = (type: number) => {
    const bytes = rest.raw(type);
    return bytes?.length === 4 || bytes?.length === 16 ? showIp(bytes) : undefined;
  };
  return {
    family: view.getUint8(0),
    destination: ip(RTA.RTA_DST),
    prefix: view.getUint8(1),
    gateway: ip(RTA.RTA_GATEWAY),
    link: rest.u32(RTA.RTA_OIF),
    table: rest.u32(RTA.RTA_TABLE) ?? view.getUint8(4),
  };
}

function familyIn({ destination, gateway, family }: RouteOptions): number {
  const some = destination ?? gateway;
  return some === undefined ? family ?? AF.AF_INET : familyOf(parseIp(some));
}

function about(
  type: number,
  flags: number,
  options: RouteOptions,
  [protocol = 0, scope = 0, kind = 0]: readonly number[],
  what: string,
): NetlinkRequest {
  const { destination, prefix = 0, gateway, link } = options;
  const fixed = new Uint8Array(RTMSG_SIZE);
  const length = destination === undefined ? 0 : prefix;
  fixed.set([familyIn(options), length, 0, 0, RT.RT_TABLE_MAIN, protocol, scope, kind]);
  const shown = destination === undefined ? "default" : `${destination}/${prefix}`;
  return request(
    type,
    flags,
    fixed,
    [
      ...(destination === undefined ? [] : [raw(RTA.RTA_DST, parseIp(destination))]),
      ...(gateway === undefined ? [] : [raw(RTA.RTA_GATEWAY, parseIp(gateway))]),
      ...(link === undefined ? [] : [u32(RTA.RTA_OIF, link)]),
    ],
    `${what} ${shown}${gateway === undefined ? "" : ` via ${gateway}`}` +
      `${link === undefined ? "" : ` link ${link}`}`,
  );
}
