/**
 * Numbers of netlink and rtnetlink (linux/netlink.h, rtnetlink.h, if_link.h, if_addr.h, neighbour.h, pkt_sched.h,
 * pkt_cls.h, net_namespace.h).
 *
 * @module
 */

/** Message types that every netlink protocol has. */
export const NLMSG = { NLMSG_NOOP: 1, NLMSG_ERROR: 2, NLMSG_DONE: 3, NLMSG_OVERRUN: 4 } as const;

/** Message flags. From 0x100 on they mean one thing in a request to make or to get, and another in an answer. */
export const NLM_F = {
  NLM_F_REQUEST: 0x1,
  NLM_F_MULTI: 0x2,
  NLM_F_ACK: 0x4,
  NLM_F_ECHO: 0x8,
  NLM_F_DUMP_INTR: 0x10,
  NLM_F_ROOT: 0x100,
  NLM_F_MATCH: 0x200,
  NLM_F_DUMP: 0x300,
  NLM_F_REPLACE: 0x100,
  NLM_F_EXCL: 0x200,
  NLM_F_CREATE: 0x400,
  NLM_F_CAPPED: 0x100,
  NLM_F_ACK_TLVS: 0x200,
} as const;

/** Attributes of an error that carry the kernel's own words (enum nlmsgerr_attrs). */
export const NLMSGERR_ATTR = { NLMSGERR_ATTR_MSG: 1, NLMSGERR_ATTR_OFFS: 2 } as const;

/** Bits of an attribute's type that are no part of its number. */
export const NLA_F = { NLA_F_NESTED: 0x8000, NLA_F_NET_BYTEORDER: 0x4000 } as const;

/** Message types of rtnetlink. */
export const RTM = {
  RTM_NEWLINK: 16,
  RTM_DELLINK: 17,
  RTM_GETLINK: 18,
  RTM_NEWADDR: 20,
  RTM_DELADDR: 21,
  RTM_GETADDR: 22,
  RTM_NEWROUTE: 24,
  RTM_DELROUTE: 25,
  RTM_GETROUTE: 26,
  RTM_NEWNEIGH: 28,
  RTM_DELNEIGH: 29,
  RTM_GETNEIGH: 30,
  RTM_NEWQDISC: 36,
  RTM_DELQDISC: 37,
  RTM_GETQDISC: 38,
  RTM_NEWTFILTER: 44,
  RTM_DELTFILTER: 45,
  RTM_GETTFILTER: 46,
  RTM_NEWNSID: 88,
  RTM_DELNSID: 89,
  RTM_GETNSID: 90,
} as const;

/** Address families. */
export const AF = { AF_UNSPEC: 0, AF_INET: 2, AF_INET6: 10, AF_NETLINK: 16 } as const;

/** Flags of a link (linux/if.h). */
export const LINK_FLAGS = {
  IFF_UP: 0x1,
  IFF_BROADCAST: 0x2,
  IFF_LOOPBACK: 0x8,
  IFF_RUNNING: 0x40,
  IFF_LOWER_UP: 0x10000,
} as const;

/** Attributes of a link. */
export const IFLA = {
  IFLA_ADDRESS: 1,
  IFLA_IFNAME: 3,
  IFLA_MTU: 4,
  IFLA_LINK: 5,
  IFLA_QDISC: 6,
  IFLA_MASTER: 10,
  IFLA_OPERSTATE: 16,
  IFLA_LINKINFO: 18,
  IFLA_NET_NS_PID: 19,
  IFLA_NET_NS_FD: 28,
  IFLA_EXT_MASK: 29,
  IFLA_LINK_NETNSID: 37,
} as const;

/** IFLA_EXT_MASK: no statistics of virtual functions, which can be longer than a datagram. */
export const RTEXT_FILTER_SKIP_STATS = 8;

/** Attributes inside of IFLA_LINKINFO, and of what is inside of IFLA_INFO_DATA. */
export const IFLA_INFO = { IFLA_INFO_KIND: 1, IFLA_INFO_DATA: 2 } as const;
/** The other end of a veth. */
export const VETH_INFO_PEER = 1;
/** The mode of a macvlan, and the modes. */
export const IFLA_MACVLAN_MODE = 1;
/** Modes of a macvlan. */
export const MACVLAN_MODE = { private: 1, vepa: 2, bridge: 4, passthru: 8 } as const;

/** Attributes of an address. */
export const IFA = {
  IFA_ADDRESS: 1,
  IFA_LOCAL: 2,
  IFA_LABEL: 3,
  IFA_BROADCAST: 4,
  IFA_FLAGS: 8,
} as const;
/** Flags of an address. */
export const IFA_F = { IFA_F_NODAD: 0x02, IFA_F_TENTATIVE: 0x40, IFA_F_PERMANENT: 0x80 } as const;

/** Attributes of a route. */
export const RTA = {
  RTA_DST: 1,
  RTA_OIF: 4,
  RTA_GATEWAY: 5,
  RTA_PRIORITY: 6,
  RTA_PREFSRC: 7,
  RTA_TABLE: 15,
} as const;
/** Routing tables, protocols, scopes and types. */
export const RT = {
  RT_TABLE_MAIN: 254,
  RTPROT_UNSPEC: 0,
  RTPROT_BOOT: 3,
  RT_SCOPE_UNIVERSE: 0,
  RT_SCOPE_LINK: 253,
  RT_SCOPE_NOWHERE: 255,
  RTN_UNSPEC: 0,
  RTN_UNICAST: 1,
} as const;

/** Attributes of a neighbour, and its states. */
export const NDA = { NDA_DST: 1, NDA_LLADDR: 2 } as const;
/** States of a neighbour. */
export const NUD = {
  NUD_INCOMPLETE: 0x01,
  NUD_REACHABLE: 0x02,
  NUD_STALE: 0x04,
  NUD_NOARP: 0x40,
  NUD_PERMANENT: 0x80,
} as const;

/** Attributes of queueing disciplines and filters. */
export const TCA = { TCA_KIND: 1, TCA_OPTIONS: 2 } as const;
/** Handles and parents of queueing disciplines. */
export const TC_H = {
  TC_H_ROOT: 0xffffffff,
  TC_H_INGRESS: 0xfffffff1,
  /** What `tc` calls `ffff:`: where filters of an ingress qdisc hang. */
  TC_H_FFFF: 0xffff0000,
  /** The same of an ingress and of a clsact qdisc: what comes in. */
  TC_H_CLSACT_INGRESS: 0xfffffff2,
} as const;
/** Attributes of u32 filters. */
export const TCA_U32 = { TCA_U32_SEL: 5, TCA_U32_ACT: 7 } as const;
/** The selector ends the walk: what matches is classified. */
export const TC_U32_TERMINAL = 1;
/** Attributes of an action. */
export const TCA_ACT = { TCA_ACT_KIND: 1, TCA_ACT_OPTIONS: 2 } as const;
/** Attributes of the action mirred. */
export const TCA_MIRRED_PARMS = 2;
/** What mirred does. */
export const TCA_EGRESS_REDIR = 1;
/** What becomes of a packet after an action: it is the action's now. */
export const TC_ACT_STOLEN = 4;
/** All protocols, in the byte order of the network. */
export const ETH_P_ALL = 3;

/** Attributes of a namespace's id. */
export const NETNSA = { NETNSA_NSID: 1, NETNSA_PID: 2, NETNSA_FD: 3 } as const;
/** The id of a namespace that has none here. */
export const NETNSA_NSID_NOT_ASSIGNED = -1;
