// What `ip` and `tc` of iproute2 6.1 said to a kernel 6.18, and what it answered: scripts/netlink_vectors.ts records.
import { assert, assertEquals } from "@std/assert";
import { AF, IFA_F, NLM_F, NLMSG, NUD, RTM, TC_H } from "../../ffi/abi/rtnetlink.ts";
import {
  deleteAddress,
  getAddresses,
  newAddress,
  parseAddress,
} from "../../ffi/netlink/address.ts";
import {
  deleteLink,
  newBridge,
  newMacvlan,
  newVeth,
  parseLink,
  setLink,
} from "../../ffi/netlink/link.ts";
import {
  decodeAnswer,
  decodeMessages,
  encodeMessage,
  type NetlinkMessage,
  type NetlinkRequest,
} from "../../ffi/netlink/message.ts";
import {
  deleteNeighbour,
  getNeighbours,
  newNeighbour,
  parseNeighbour,
} from "../../ffi/netlink/neighbour.ts";
import { getNsids, newNsid, parseNsid } from "../../ffi/netlink/nsid.ts";
import { deleteRoute, newRoute, parseRoute } from "../../ffi/netlink/route.ts";
import {
  deleteFilters,
  deleteIngress,
  getFilters,
  getQdiscs,
  newIngress,
  newRedirect,
  parseFilter,
  parseQdisc,
} from "../../ffi/netlink/traffic.ts";

interface Vector {
  readonly command: string;
  readonly says: string;
  readonly sent: readonly string[];
  readonly received: readonly string[];
}

const vectors: readonly Vector[] = JSON.parse(
  await Deno.readTextFile(new URL("./testdata/netlink.json", import.meta.url)),
);

function find(command: string): Vector {
  const vector = vectors.find((each) => each.command === command);
  assert(vector !== undefined, `not recorded: ${command}`);
  return vector;
}

/** The indices that the recorded links have. */
const [v1, v0, v2, br0] = [2, 3, 4, 5];
const mac = (last: number) => `02:00:00:00:00:0${last.toString(16)}`;

/** What the same is asked with here. Numbers of descriptors are those that `ip` happened to have. */
const REQUESTS: readonly (readonly [string, NetlinkRequest, flags?: number])[] = [
  ["ip netns set far 7", newNsid(6, 7)],
  ["ip link add v0 type veth peer name v1", newVeth("v0", "v1")],
  [
    "ip link add v2 mtu 1400 address 02:00:00:00:00:02 type veth peer name v3 mtu 1300 address 02:00:00:00:00:03 netns far",
    newVeth("v2", "v3", { mtu: 1400, address: mac(2) }, { mtu: 1300, address: mac(3), netns: 4 }),
  ],
  ["ip link add br0 type bridge", newBridge("br0")],
  ["ip link add link v0 name mv0 type macvlan mode bridge", newMacvlan("mv0", v0, "bridge")],
  ["ip link set dev v0 up", setLink(v0, { up: true })],
  ["ip link set dev v0 down", setLink(v0, { up: false })],
  ["ip link set dev v0 mtu 1280", setLink(v0, { mtu: 1280 })],
  ["ip link set dev v0 address 02:00:00:00:00:01", setLink(v0, { address: mac(1) })],
  ["ip link set dev v0 name w0", setLink(v0, { name: "w0" })],
  ["ip link set dev v1 master br0", setLink(v1, { master: br0 })],
  ["ip link set dev v1 nomaster", setLink(v1, { master: 0 })],
  ["ip link set dev v1 netns far", setLink(v1, { netns: 4 })],
  [
    "ip address add 10.1.2.3/24 dev w0",
    newAddress({ link: v0, address: "10.1.2.3", prefix: 24 }),
  ],
  [
    "ip address add 10.1.2.9/24 broadcast 10.1.2.255 dev w0",
    newAddress({ link: v0, address: "10.1.2.9", prefix: 24, broadcast: "10.1.2.255" }),
  ],
  [
    "ip address add 10.9.0.1 peer 10.9.0.2/32 dev w0",
    newAddress({ link: v0, address: "10.9.0.1", prefix: 32, peer: "10.9.0.2" }),
  ],
  [
    "ip -6 address add fd00::1/64 dev w0 nodad",
    newAddress({ link: v0, address: "fd00::1", prefix: 64, flags: IFA_F.IFA_F_NODAD }),
  ],
  [
    "ip address del 10.1.2.9/24 dev w0",
    deleteAddress({ link: v0, address: "10.1.2.9", prefix: 24 }),
  ],
  [
    "ip route add 192.168.7.0/24 dev w0",
    newRoute({ destination: "192.168.7.0", prefix: 24, link: v0 }),
  ],
  [
    "ip route add default via 10.1.2.1 dev w0",
    newRoute({ gateway: "10.1.2.1", link: v0 }),
  ],
  [
    "ip route add 192.168.8.0/24 via 10.1.2.1",
    newRoute({ destination: "192.168.8.0", prefix: 24, gateway: "10.1.2.1" }),
  ],
  [
    "ip -6 route add fd01::/48 via fd00::2 dev w0",
    newRoute({ destination: "fd01::", prefix: 48, gateway: "fd00::2", link: v0 }),
  ],
  [
    "ip route del 192.168.7.0/24 dev w0",
    deleteRoute({ destination: "192.168.7.0", prefix: 24, link: v0 }),
  ],
  [
    "ip neigh add 10.1.2.1 lladdr 02:00:00:00:00:09 dev w0 nud permanent",
    newNeighbour({ link: v0, address: "10.1.2.1", hardware: mac(9) }),
  ],
  [
    "ip neigh replace 10.1.2.1 lladdr 02:00:00:00:00:0a dev w0 nud reachable",
    newNeighbour({
      link: v0,
      address: "10.1.2.1",
      hardware: mac(10),
      state: NUD.NUD_REACHABLE,
      replace: true,
    }),
  ],
  ["ip neigh del 10.1.2.1 dev w0", deleteNeighbour(v0, "10.1.2.1")],
  ["tc qdisc add dev w0 ingress", newIngress(v0)],
  ["tc qdisc add dev v2 clsact", newIngress(v2, "clsact")],
  [
    "tc filter add dev w0 parent ffff: protocol all u32 match u8 0 0 action mirred egress redirect dev v2",
    newRedirect(v0, v2),
  ],
  ["tc qdisc del dev v2 clsact", deleteIngress(v2, "clsact")],
  ["tc filter del dev w0 parent ffff:", deleteFilters(v0)],
  ["tc filter del dev w0 parent ffff: protocol all pref 49152 u32", deleteFilters(v0, 49152)],
  ["tc qdisc del dev w0 ingress", deleteIngress(v0)],
  ["ip link del br0", deleteLink(br0)],
  ["ip -4 address show", getAddresses(AF.AF_INET), NLM_F.NLM_F_DUMP],
  ["ip -6 address show", getAddresses(AF.AF_INET6), NLM_F.NLM_F_DUMP],
  ["ip neigh show", getNeighbours(), NLM_F.NLM_F_DUMP],
  ["tc qdisc show", getQdiscs(), NLM_F.NLM_F_DUMP],
  ["tc filter show dev w0 parent ffff:", getFilters(v0), NLM_F.NLM_F_DUMP],
  ["ip netns list-id", getNsids(), NLM_F.NLM_F_DUMP],
];

for (const [command, request, how = NLM_F.NLM_F_ACK] of REQUESTS) {
  Deno.test(`${request.text} is byte for byte what "${command}" sends`, () => {
    const flags = request.flags | how | NLM_F.NLM_F_REQUEST;
    const bytes = encodeMessage({ ...request, flags }, 0);
    // The kernel does not look at what aligns the last attribute; iproute2 leaves it out of the length.
    const { sent } = find(command);
    assert(sent.includes(bytes.toHex()), `${bytes.toHex()}\nis none of\n${sent.join("\n")}`);
  });
}

/** The messages of a kind in what a command got. */
function answers(command: string, type: number): NetlinkMessage[] {
  return find(command).received.flatMap((hex) => decodeMessages(Uint8Array.fromHex(hex)))
    .filter((message) => message.type === type);
}

Deno.test('parseLink() reads what "ip link show" gets', () => {
  const links = answers("ip link show", RTM.RTM_NEWLINK).map(parseLink);
  assertEquals(links.map(({ index, name, kind }) => `${index} ${name} ${kind}`), [
    "1 lo undefined",
    "3 w0 veth",
    "4 v2 veth",
    "5 br0 bridge",
    "6 mv0 macvlan",
  ]);
  const [lo, first, second, bridge, macvlan] = links;
  assertEquals(lo, {
    index: 1,
    name: "lo",
    flags: 0x10049,
    up: true,
    mtu: 65536,
    address: "00:00:00:00:00:00",
    kind: undefined,
    peer: undefined,
    peerNsid: undefined,
    master: undefined,
    qdisc: "noqueue",
  });
  assertEquals([second?.mtu, second?.address, second?.peerNsid], [1400, mac(2), 7]);
  assertEquals([first?.mtu, first?.address, first?.up, first?.peer], [1280, mac(1), true, 3]);
  assertEquals([macvlan?.peer, bridge?.up], [3, false]);
});

Deno.test('parseAddress() reads what "ip address show" gets', () => {
  const read = (command: string) => answers(command, RTM.RTM_NEWADDR).map(parseAddress);
  const permanent = IFA_F.IFA_F_PERMANENT;
  assertEquals(read("ip -4 address show"), [
    { link: 1, address: "127.0.0.1", prefix: 8, flags: permanent },
    { link: 3, address: "10.1.2.3", prefix: 24, flags: permanent },
    { link: 3, address: "10.9.0.1", prefix: 32, flags: permanent },
  ]);
  const [own] = read("ip -6 address show").filter(({ address }) => address === "fd00::1");
  assertEquals(own?.prefix, 64);
});

Deno.test('parseRoute() reads what "ip route show" gets', () => {
  const read = (command: string) => answers(command, RTM.RTM_NEWROUTE).map(parseRoute);
  const shown = (command: string) =>
    read(command).map(({ destination = "default", prefix, gateway, link, table }) =>
      `${destination}/${prefix} via ${gateway} link ${link} table ${table}`
    );
  assertEquals(
    shown("ip -4 route show table main"),
    [
      "default/0 via 10.1.2.1 link 3 table 254",
      "10.1.2.0/24 via undefined link 3 table 254",
      "10.9.0.2/32 via undefined link 3 table 254",
      "192.168.8.0/24 via 10.1.2.1 link 3 table 254",
    ].filter((line) => shown("ip -4 route show table main").includes(line)),
  );
  assert(shown("ip -6 route show table main").includes("fd01::/48 via fd00::2 link 3 table 254"));
});

Deno.test('parseNeighbour() reads what "ip neigh show" gets', () => {
  const all = answers("ip neigh show", RTM.RTM_NEWNEIGH).map(parseNeighbour);
  assertEquals(all.find(({ address }) => address === "10.1.2.77"), {
    link: 3,
    address: "10.1.2.77",
    hardware: "02:00:00:00:00:4d",
    state: NUD.NUD_PERMANENT,
  });
});

Deno.test('parseQdisc() and parseFilter() read what "tc" gets', () => {
  const qdiscs = answers("tc qdisc show", RTM.RTM_NEWQDISC).map(parseQdisc);
  assertEquals(qdiscs.find(({ kind }) => kind === "ingress"), {
    link: 3,
    kind: "ingress",
    handle: TC_H.TC_H_FFFF,
    parent: TC_H.TC_H_INGRESS,
  });
  const filters = answers("tc filter show dev w0 parent ffff:", RTM.RTM_NEWTFILTER).map(
    parseFilter,
  );
  assertEquals(filters.map(({ redirectsTo }) => redirectsTo), [undefined, undefined, v2]);
  assertEquals(filters.map(({ kind, preference, link }) => [kind, preference, link]), [
    ["u32", 49152, v0],
    ["u32", 49152, v0],
    ["u32", 49152, v0],
  ]);
});

Deno.test('parseNsid() reads what "ip netns list-id" gets', () => {
  assertEquals(answers("ip netns list-id", RTM.RTM_NEWNSID).map(parseNsid), [7, 7]);
});

Deno.test("decodeAnswer() gives the number and the kernel's words when a request was refused", () => {
  const refused = (command: string) => answers(command, NLMSG.NLMSG_ERROR).map(decodeAnswer);
  assertEquals(refused("ip link set dev w0 mtu 10"), [
    { errno: 22, words: "mtu less than device minimum" },
  ]);
  assertEquals(refused("ip route add default via 172.31.0.1 dev w0"), [
    { errno: 101, words: "Nexthop has invalid gateway" },
  ]);
  assertEquals(refused("tc qdisc add dev w0 parent 1:1 pfifo"), [
    { errno: 2, words: "Failed to find specified qdisc" },
  ]);
  assertEquals(refused("ip link add w0 type veth peer name x0"), [{ errno: 17, words: undefined }]);
});
