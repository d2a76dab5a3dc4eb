// The compiler's word on the kernel's numbers and structs that ffi/netlink and the modules beside it know.
import { assert, assertEquals } from "@std/assert";
import * as RTNETLINK from "../../ffi/abi/rtnetlink.ts";
import { BPF, BPF_ATTACH_TYPE, BPF_PROG_TYPE } from "../../ffi/syscalls/bpf.ts";
import { IFF } from "../../ffi/syscalls/tun.ts";
import { noProgram, testUnless } from "../skip.ts";

const noGcc = noProgram("gcc");

/** Evaluates C expressions; those that the headers here are too old for are undefined. */
function inC(expressions: readonly string[]): (number | undefined)[] {
  const directory = Deno.makeTempDirSync();
  try {
    const compile = (
      wanted: readonly (readonly [number, string])[],
    ): Map<number, number> | undefined => {
      const lines = wanted.map(([i, each]) =>
        `printf("%d %llu\\n", ${i}, (unsigned long long)(${each}));`
      );
      Deno.writeTextFileSync(
        `${directory}/t.c`,
        `#include <stdio.h>
#include <stddef.h>
#include <net/if.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/if_link.h>
#include <linux/if_addr.h>
#include <linux/if_tun.h>
#include <linux/veth.h>
#include <linux/neighbour.h>
#include <linux/pkt_sched.h>
#include <linux/pkt_cls.h>
#include <linux/tc_act/tc_mirred.h>
#include <linux/net_namespace.h>
#include <linux/sockios.h>
#include <linux/if_ether.h>
#include <linux/bpf.h>
int main(void) { ${lines.join("\n")} return 0; }`,
      );
      const gcc = new Deno.Command("gcc", {
        args: ["-w", "-o", `${directory}/t`, `${directory}/t.c`],
        stderr: "null",
      });
      if (!gcc.outputSync().success) return undefined;
      const { stdout } = new Deno.Command(`${directory}/t`).outputSync();
      const pairs = new TextDecoder().decode(stdout).trim().split("\n").map((line) =>
        line.split(" ")
      );
      return new Map(pairs.map(([i, value]) => [Number(i), Number(value)]));
    };
    const all = expressions.map((each, i) => [i, each] as const);
    // All at once; one by one only where some header is older than belay.
    const found = compile(all) ??
      new Map(all.flatMap((each) => [...compile([each]) ?? []]));
    return expressions.map((_, i) => found.get(i));
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

/** Fails for a number that C has otherwise; most must be known to the headers. */
function agree(expected: Readonly<Record<string, number>>): void {
  const names = Object.keys(expected);
  const actual = inC(names);
  let compared = 0;
  for (const [i, name] of names.entries()) {
    if (actual[i] === undefined) continue;
    assertEquals(expected[name], actual[i], name);
    compared++;
  }
  assert(
    compared * 10 >= names.length * 8,
    `only ${compared} of ${names.length} were in the headers`,
  );
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
  agree({ ...IFF });
  agree({ ...BPF, ...BPF_PROG_TYPE, ...BPF_ATTACH_TYPE });
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
