// The compiler's word on the kernel's numbers and structs that ffi/netlink and the modules beside it know.
import * as RTNETLINK from "../../ffi/abi/rtnetlink.ts";
import { BPF, BPF_ATTACH_TYPE, BPF_PROG_TYPE } from "../../ffi/syscalls/bpf.ts";
import { IFF, IFNAMSIZ, TUN_IOCTL } from "../../ffi/syscalls/tun.ts";
import { noProgram, testUnless } from "../skip.ts";
import * as inC from "./in_c.ts";

const noGcc = noProgram("gcc");

const HEADERS = [
  "sys/ioctl.h",
  "net/if.h",
  "linux/netlink.h",
  "linux/rtnetlink.h",
  "linux/if_link.h",
  "linux/if_addr.h",
  "linux/if_tun.h",
  "linux/veth.h",
  "linux/neighbour.h",
  "linux/pkt_sched.h",
  "linux/pkt_cls.h",
  "linux/tc_act/tc_mirred.h",
  "linux/net_namespace.h",
  "linux/sockios.h",
  "linux/if_ether.h",
  "linux/bpf.h",
];

/** Checks named numbers against C. */
function agree(expected: Readonly<Record<string, number>>, newer: readonly string[] = []): void {
  inC.agree(HEADERS, expected, newer);
}

testUnless(noGcc, "the numbers of rtnetlink agree with the kernel's headers", () => {
  const single = [
    "RTEXT_FILTER_SKIP_STATS",
    "VETH_INFO_PEER",
    "IFLA_MACVLAN_MODE",
    "TC_U32_TERMINAL",
  ]
    .concat("TCA_MIRRED_PARMS", "TCA_EGRESS_REDIR", "TC_ACT_STOLEN", "ETH_P_ALL");
  const { LINK_FLAGS, MACVLAN_MODE, TC_H, ...tables } = RTNETLINK;
  const named = Object.entries(tables).flatMap(([name, value]) =>
    typeof value === "number"
      ? (single.includes(name) ? [[name, value]] : [])
      : Object.entries(value)
  );
  agree(Object.fromEntries(named as [string, number][]));
  const { IFF_LOWER_UP: _inHeadersThatExcludeEachOther, ...flags } = LINK_FLAGS;
  agree(flags);
  agree({ MACVLAN_MODE_BRIDGE: MACVLAN_MODE.bridge, MACVLAN_MODE_PRIVATE: MACVLAN_MODE.private });
  agree({ MACVLAN_MODE_VEPA: MACVLAN_MODE.vepa, MACVLAN_MODE_PASSTHRU: MACVLAN_MODE.passthru });
  const { TC_H_FFFF, TC_H_CLSACT_INGRESS, ...handles } = TC_H;
  agree({
    ...handles,
    "TC_H_MAKE(TC_H_CLSACT, 0)": TC_H_FFFF,
    "TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)": TC_H_CLSACT_INGRESS,
  });
});

testUnless(noGcc, "the numbers of TAPs and of BPF agree with the kernel's headers", () => {
  agree({ ...IFF, ...TUN_IOCTL, IFNAMSIZ });
  agree({ ...BPF, ...BPF_PROG_TYPE, ...BPF_ATTACH_TYPE }, ["BPF_TCX_INGRESS"]);
  agree({ BPF_FUNC_redirect: 23, "BPF_ALU64|BPF_MOV|BPF_K": 0xb7, "BPF_JMP|BPF_CALL": 0x85 });
});

testUnless(noGcc, "the structs of rtnetlink are as large as the kernel's", () => {
  agree({
    "sizeof(struct nlmsghdr)": 16,
    "sizeof(struct nlattr)": 4,
    "sizeof(struct nlmsgerr)": 20,
    "sizeof(struct sockaddr_nl)": 12,
    "offsetof(struct sockaddr_nl, nl_pid)": 4,
    "sizeof(struct ifinfomsg)": 16,
    "sizeof(struct ifaddrmsg)": 8,
    "sizeof(struct rtmsg)": 12,
    "sizeof(struct ndmsg)": 12,
    "sizeof(struct tcmsg)": 20,
    "sizeof(struct tc_u32_sel) + sizeof(struct tc_u32_key)": 32,
    "offsetof(struct tc_u32_sel, nkeys)": 2,
    "sizeof(struct tc_mirred)": 28,
    "offsetof(struct tc_mirred, action)": 8,
    "offsetof(struct tc_mirred, eaction)": 20,
    "offsetof(struct tc_mirred, ifindex)": 24,
    "sizeof(struct ifreq)": 40,
    "sizeof(struct bpf_insn)": 8,
  });
});
