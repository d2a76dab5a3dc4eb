/**
 * Records what `ip` and `tc` say to the kernel, and what it answers, for the tests of ffi/netlink: with strace(1), in
 * network and mount namespaces of their own, where every index is the same each time.
 *
 * Usage (root): deno run -A scripts/netlink_vectors.ts > tests/unit/testdata/netlink.json
 */
import { mustRun } from "./step.ts";

/** In this order: later commands use what earlier ones made. */
const COMMANDS = [
  "ip netns set far 7",
  "ip link add v0 type veth peer name v1",
  "ip link add v2 mtu 1400 address 02:00:00:00:00:02 type veth peer name v3 mtu 1300 address 02:00:00:00:00:03 netns far",
  "ip link add br0 type bridge",
  "ip link add link v0 name mv0 type macvlan mode bridge",
  "ip link set dev v0 up",
  "ip link set dev v0 down",
  "ip link set dev v0 mtu 1280",
  "ip link set dev v0 address 02:00:00:00:00:01",
  "ip link set dev v0 name w0",
  "ip link set dev v1 master br0",
  "ip link set dev v1 nomaster",
  "ip link set dev v1 netns far",
  "ip link set dev w0 up",
  "ip address add 10.1.2.3/24 dev w0",
  "ip address add 10.1.2.9/24 broadcast 10.1.2.255 dev w0",
  "ip address add 10.9.0.1 peer 10.9.0.2/32 dev w0",
  "ip -6 address add fd00::1/64 dev w0 nodad",
  "ip address del 10.1.2.9/24 dev w0",
  "ip route add 192.168.7.0/24 dev w0",
  "ip route add default via 10.1.2.1 dev w0",
  "ip route add 192.168.8.0/24 via 10.1.2.1",
  "ip -6 route add fd01::/48 via fd00::2 dev w0",
  "ip route del 192.168.7.0/24 dev w0",
  "ip neigh add 10.1.2.1 lladdr 02:00:00:00:00:09 dev w0 nud permanent",
  "ip neigh replace 10.1.2.1 lladdr 02:00:00:00:00:0a dev w0 nud reachable",
  "ip neigh del 10.1.2.1 dev w0",
  "tc qdisc add dev w0 ingress",
  "tc qdisc add dev v2 clsact",
  "tc filter add dev w0 parent ffff: protocol all u32 match u8 0 0 action mirred egress redirect dev v2",
  "tc qdisc del dev v2 clsact",
  "tc filter del dev w0 parent ffff:",
  "ip link show dev w0",
  "ip link show",
  "ip -4 address show",
  "ip -6 address show",
  "ip -4 route show table main",
  "ip -6 route show table main",
  "ip neigh add 10.1.2.77 lladdr 02:00:00:00:00:4d dev w0 nud permanent",
  "ip neigh show",
  "tc filter add dev w0 parent ffff: protocol all u32 match u8 0 0 action mirred egress redirect dev v2",
  "tc qdisc show",
  "tc filter show dev w0 parent ffff:",
  "ip netns list-id",
  "tc filter del dev w0 parent ffff: protocol all pref 49152 u32",
  "tc qdisc del dev w0 ingress",
  "ip link del br0",
  // What is refused, with the kernel's own words.
  "ip link add w0 type veth peer name x0",
  "ip link set dev w0 mtu 10",
  "ip route add default via 172.31.0.1 dev w0",
  "tc qdisc add dev w0 parent 1:1 pfifo",
  "ip netns set far 8",
];

const PREPARE =
  "mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns && ip netns add far && ip link set lo up";

if (Deno.args[0] !== "inside") {
  const again = [Deno.execPath(), "run", "--allow-all", import.meta.filename ?? "", "inside"];
  console.log((await mustRun(["unshare", "--net", "--mount", ...again])).trim());
  Deno.exit(0);
}
await mustRun(["sh", "-c", PREPARE]);
const file = await Deno.makeTempFile();
const vectors = [];
for (const command of COMMANDS) {
  const fds = Array.from({ length: 8 }, (_, i) => i + 3).join(",");
  const { stderr } = await new Deno.Command("strace", {
    args: [
      "-e",
      "trace=sendmsg,sendto,recvmsg",
      "-e",
      `write=${fds}`,
      "-e",
      `read=${fds}`,
      "-o",
      file,
    ]
      .concat(command.split(" ")),
  }).output();
  const says = new TextDecoder().decode(stderr).trim();
  const { sent, received } = read(await Deno.readTextFile(file));
  vectors.push({
    command,
    says,
    sent: [...new Set(sent)].filter((hex) =>
      hex.slice(8, 12) !== "1200" || command.includes("link")
    ),
    received: received.filter((hex) => worthKeeping(command, says, hex)),
  });
}
await Deno.remove(file);
const lines = vectors.map((vector) => `  ${JSON.stringify(vector)}`);
console.log(`[\n${lines.join(",\n")}\n]`);

/** The datagrams in strace's dumps, in hexadecimal; without sequence numbers and port ids, which differ each time. */
function read(trace: string): { sent: string[]; received: string[] } {
  const sent: string[] = [];
  const received: string[] = [];
  for (const part of trace.split(/^(?=send|recv)/m)) {
    if (part.includes("MSG_PEEK")) continue;
    const dumped = [...part.matchAll(/^ \| [0-9a-f]{5} {2}((?:[0-9a-f]{2} {1,2})+)/gm)]
      .map(([, hex = ""]) => hex.replaceAll(" ", "")).join("");
    // What ip asks on its first socket, before anything else, is only whether the kernel knows RTM_GETLINK's masks.
    if (dumped === "" || dumped.slice(16, 24) === "00000000") continue;
    (part.startsWith("send") ? sent : received).push(withoutNumbers(dumped));
  }
  return { sent, received };
}

/** Every message's bytes 8 to 15 as zeros, also of the request that an error repeats. What is behind them is cut off. */
function withoutNumbers(hex: string): string {
  let out = "";
  for (let at = 0; at + 32 <= hex.length;) {
    const length = parseInt(hex.slice(at, at + 8).match(/../g)?.reverse().join("") ?? "", 16);
    if (length < 16) return out; // ip sends more bytes than its message has
    let message = hex.slice(at, at + ((length + 3) & ~3) * 2);
    const isError = message.slice(8, 12) === "0200";
    message = message.slice(0, 16) + "0".repeat(16) + message.slice(32);
    if (isError) message = message.slice(0, 56) + "0".repeat(16) + message.slice(72);
    out += message;
    at += message.length;
  }
  return out;
}

/** The answers that tests read: lists, and refusals. Of the lists of links that most commands ask for, one is enough. */
function worthKeeping(command: string, says: string, datagram: string): boolean {
  if (says !== "") return datagram.slice(8, 12) === "0200";
  if (!/ show| list-id/.test(command)) return false;
  return command === "ip link show" || datagram.slice(8, 12) !== "1000";
}
