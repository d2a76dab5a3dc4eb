// The conversation: against a kernel that answers from a script, and, with root, against the real one in namespaces of
// their own.
import { assert, assertEquals, assertThrows } from "@std/assert";
import { Struct } from "../../ffi/call.ts";
import { type Asked, Recorder } from "../../ffi/recorder.ts";
import { NLM_F, NLMSG, NUD, RTM } from "../../ffi/abi/rtnetlink.ts";
import { getAddresses, newAddress, parseAddress } from "../../ffi/netlink/address.ts";
import { NetlinkFormatError } from "../../ffi/netlink/attributes.ts";
import {
  deleteLink,
  getLink,
  getLinks,
  newBridge,
  newMacvlan,
  newVeth,
  parseLink,
  setLink,
} from "../../ffi/netlink/link.ts";
import { encodeMessage } from "../../ffi/netlink/message.ts";
import { getNeighbours, newNeighbour, parseNeighbour } from "../../ffi/netlink/neighbour.ts";
import { getNsid, getNsids, newNsid, parseNsid } from "../../ffi/netlink/nsid.ts";
import { getRoutes, newRoute, parseRoute } from "../../ffi/netlink/route.ts";
import { NetlinkError, NetlinkSocket } from "../../ffi/netlink/socket.ts";
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
import { SyscallError } from "../../ffi/syscall_error.ts";
import { close } from "../../ffi/syscalls/file.ts";
import { NetnsWorker } from "../../runtime/netns/netns_worker.ts";
import { thread } from "../ffi_world.ts";
import { notRoot, testUnless } from "../skip.ts";

const warm = Deno.uid() === 0 ? await NetnsWorker.enter(thread, "new") : undefined;
await warm?.[Symbol.asyncDispose]();

/** A datagram that a scripted kernel gives: from whom, and its messages. */
interface Scripted {
  readonly port?: number;
  readonly messages: readonly Uint8Array[];
  /** As if it were longer than what came of it. */
  readonly length?: number;
}

/** A socket whose kernel gives one datagram for each receive. */
function scripted(
  datagrams: readonly (Scripted | number)[],
): { socket: NetlinkSocket; sent: Asked[] } {
  let next = 0;
  const sent: Asked[] = [];
  const recorder = new Recorder((asked) => {
    if (asked.name === "sendto") sent.push(asked);
    if (asked.name !== "recvfrom") return undefined;
    const given = datagrams[next++];
    assert(given !== undefined, "more was received than there is");
    if (typeof given === "number") return -given;
    const [, data, , , address] = asked.args;
    assert(data instanceof Struct && address instanceof Struct);
    const bytes = Uint8Array.from(given.messages.flatMap((message) => [...message]));
    data.bytes = new Uint8Array(data.size);
    data.bytes.set(bytes.subarray(0, data.size));
    address.bytes = new Uint8Array(address.size);
    address.view().setUint32(4, given.port ?? 0, true);
    return given.length ?? bytes.length;
  });
  return { socket: new NetlinkSocket(recorder.thread, 3), sent };
}

function message(type: number, sequence: number, flags = 0, body: number[] = [0, 0, 0, 0]) {
  return encodeMessage({ type, flags, body: Uint8Array.from(body) }, sequence);
}

const LINK = Array.from({ length: 16 }, () => 0);
const done = (sequence: number, flags = NLM_F.NLM_F_MULTI as number) =>
  message(NLMSG.NLMSG_DONE, sequence, flags);
const link = (sequence: number, flags = NLM_F.NLM_F_MULTI as number) =>
  message(RTM.RTM_NEWLINK, sequence, flags, LINK);

Deno.test("NetlinkSocket.dump() goes on until NLMSG_DONE when a list comes in parts", () => {
  const { socket } = scripted([
    { messages: [link(1), link(1)] },
    { messages: [link(1)] },
    { messages: [done(1)] },
  ]);
  assertEquals(socket.dump(getLinks()).length, 3);
});

Deno.test("NetlinkSocket.dump() asks again when the list changed meanwhile (NLM_F_DUMP_INTR)", () => {
  const interrupted = NLM_F.NLM_F_MULTI | NLM_F.NLM_F_DUMP_INTR;
  const { socket, sent } = scripted([
    { messages: [link(1), link(1)] },
    { messages: [done(1, interrupted)] },
    { messages: [link(2, interrupted)] },
    { messages: [done(2)] },
    { messages: [link(3), done(3)] },
  ]);
  assertEquals(socket.dump(getLinks()).length, 1);
  assertEquals(sent.length, 3);
});

Deno.test("NetlinkSocket.dump() gives up when the list never stands still", () => {
  const rounds = Array.from({ length: 50 }, (_, i) => ({
    messages: [done(i + 1, NLM_F.NLM_F_DUMP_INTR)],
  }));
  const { socket } = scripted(rounds);
  assertThrows(() => socket.dump(getLinks()), Error, "changed each of 50 times");
});

Deno.test("NetlinkSocket believes the kernel alone, and only answers to its own question", () => {
  const forged = message(NLMSG.NLMSG_ERROR, 1, 0, [0xff, 0xff, 0xff, 0xff, ...LINK]);
  const stale = message(NLMSG.NLMSG_ERROR, 77, 0, [0xff, 0xff, 0xff, 0xff, ...LINK]);
  const ack = message(NLMSG.NLMSG_ERROR, 1, 0, [0, 0, 0, 0, ...LINK]);
  const { socket } = scripted([
    { port: 4711, messages: [forged] },
    { messages: [stale] },
    { messages: [ack] },
  ]);
  socket.do(setLink(1, { up: true }));
});

Deno.test("NetlinkSocket throws when no answer comes, is cut, or says nothing", () => {
  const late = scripted([11]);
  assertThrows(() => late.socket.do(setLink(1, { up: true })), Error, "no answer in 5000 ms");
  // Not in time is one thing, lost is another.
  const lost = assertThrows(
    () => scripted([105]).socket.do(setLink(1, { up: true })),
    SyscallError,
  );
  assertEquals(lost.code, "ENOBUFS");
  const cut = scripted([{ messages: [link(1)], length: 1 << 20 }]);
  assertThrows(() => cut.socket.dump(getLinks()), NetlinkFormatError, "1048576 bytes");
  const ack = message(NLMSG.NLMSG_ERROR, 1, 0, [0, 0, 0, 0, ...LINK]);
  const mute = scripted([{ messages: [ack] }]);
  assertThrows(() => mute.socket.ask(getLink(1)), NetlinkFormatError, "no answer but a yes");
});

Deno.test("NetlinkSocket passes over NLMSG_NOOP", () => {
  const { socket } = scripted([{ messages: [message(NLMSG.NLMSG_NOOP, 1), link(1), done(1)] }]);
  assertEquals(socket.dump(getLinks()).map(({ type }) => type), [RTM.RTM_NEWLINK]);
});

/** Does something with a socket in a new namespace. */
async function inside(use: (socket: NetlinkSocket, worker: NetnsWorker) => void | Promise<void>) {
  await using worker = await NetnsWorker.enter(thread, "new");
  using socket = NetlinkSocket.open(worker);
  await use(socket, worker);
}

const names = (socket: NetlinkSocket) =>
  socket.dump(getLinks()).map((each) => parseLink(each).name);

testUnless(notRoot(), "NetlinkSocket makes, changes, lists and deletes links", async () => {
  await inside((socket) => {
    socket.do(newVeth("v0", "v1", { mtu: 1400 }, { address: "02:00:00:00:00:01" }));
    socket.do(newBridge("br0"));
    const find = (name: string) => parseLink(socket.ask(getLink(name)));
    const [v0, v1, br0] = ["v0", "v1", "br0"].map(find);
    assert(v0 !== undefined && v1 !== undefined && br0 !== undefined);
    assertEquals([v0.mtu, v0.kind, v0.peer, v0.up], [1400, "veth", v1.index, false]);
    assertEquals(v1.address, "02:00:00:00:00:01");
    socket.do(newMacvlan("mv0", v0.index, "bridge"));
    assertEquals(find("mv0").peer, v0.index);
    socket.do(setLink(v1.index, { master: br0.index, up: true }));
    assertEquals([find("v1").master, find("v1").up], [br0.index, true]);
    socket.do(setLink(v1.index, { master: 0 }));
    assertEquals(find("v1").master, undefined);
    assertThrows(() => setLink("v0", { name: "w0" }), TypeError, "by its index");
    socket.do(setLink(v0.index, { name: "w0", mtu: 1300, address: "02:00:00:00:00:02" }));
    assertEquals([find("w0").mtu, find("w0").address], [1300, "02:00:00:00:00:02"]);
    assertEquals(names(socket).sort(), ["br0", "lo", "mv0", "v1", "w0"]);
    socket.do(deleteLink("w0"));
    socket.do(deleteLink(br0.index));
    assertEquals(names(socket), ["lo"]);
  });
});

testUnless(
  notRoot(),
  "NetlinkSocket makes a veth across two namespaces, and knows the other by its nsid",
  async () => {
    await inside(async (socket) => {
      await using far = await NetnsWorker.enter(thread, "new");
      const fd = far.openNamespace();
      assertEquals(parseNsid(socket.ask(getNsid(fd))), undefined);
      socket.do(newNsid(fd, 12));
      assertEquals(parseNsid(socket.ask(getNsid(fd))), 12);
      assertEquals(socket.dump(getNsids()).map(parseNsid), [12]);
      socket.do(newVeth("near", "far", {}, { netns: fd }));
      assertEquals(parseLink(socket.ask(getLink("near"))).peerNsid, 12);
      using there = NetlinkSocket.open(far);
      assertEquals(names(there).sort(), ["far", "lo"]);
      socket.do(newVeth("moved", "stays"));
      socket.do(setLink("moved", { netns: fd }));
      assertEquals(names(there).sort(), ["far", "lo", "moved"]);
      thread.call(close(fd));
    });
  },
);

testUnless(notRoot(), "NetlinkSocket gives addresses, routes and neighbours", async () => {
  await inside((socket) => {
    socket.do(newVeth("v0", "v1"));
    const { index } = parseLink(socket.ask(getLink("v0")));
    socket.do(setLink(index, { up: true }));
    socket.do(setLink("v1", { up: true }));
    socket.do(newAddress({ link: index, address: "10.1.2.3", prefix: 24 }));
    socket.do(newAddress({ link: index, address: "fd00::1", prefix: 64 }));
    const addresses = socket.dump(getAddresses()).map(parseAddress)
      .filter(({ link, address }) => link === index && !address.startsWith("fe80"));
    assertEquals(addresses.map(({ address, prefix }) => `${address}/${prefix}`), [
      "10.1.2.3/24",
      "fd00::1/64",
    ]);
    socket.do(newRoute({ gateway: "10.1.2.1" }));
    const routes = socket.dump(getRoutes()).map(parseRoute);
    assertEquals(routes.find(({ gateway }) => gateway === "10.1.2.1")?.link, index);
    const hardware = "02:00:00:00:00:09";
    socket.do(newNeighbour({ link: index, address: "10.1.2.1", hardware }));
    const neighbour = socket.dump(getNeighbours()).map(parseNeighbour)
      .find(({ address }) => address === "10.1.2.1");
    assertEquals([neighbour?.hardware, neighbour?.state], [hardware, NUD.NUD_PERMANENT]);
  });
});

testUnless(
  notRoot(),
  "NetlinkSocket redirects by filters, and lists where a redirection leads",
  async () => {
    await inside((socket) => {
      socket.do(newVeth("v0", "v1"));
      const [v0, v1] = ["v0", "v1"].map((name) => parseLink(socket.ask(getLink(name))).index);
      assert(v0 !== undefined && v1 !== undefined);
      socket.do(newIngress(v0));
      socket.do(newRedirect(v0, v1));
      const redirections = () =>
        socket.dump(getFilters(v0)).map(parseFilter).flatMap(({ redirectsTo }) =>
          redirectsTo ?? []
        );
      assertEquals(redirections(), [v1]);
      const qdiscs = socket.dump(getQdiscs()).map(parseQdisc);
      assertEquals(qdiscs.filter(({ kind }) => kind === "ingress").map(({ link }) => link), [v0]);
      socket.do(deleteFilters(v0));
      assertEquals(redirections(), []);
      socket.do(deleteIngress(v0));
    });
  },
);

testUnless(
  notRoot(),
  "NetlinkSocket throws with the kernel's words when a request is refused",
  async () => {
    await inside((socket) => {
      socket.do(newVeth("v0", "v1"));
      const error = assertThrows(() => socket.do(setLink("v0", { mtu: 10 })), NetlinkError);
      assertEquals([error.code, error.words], ["EINVAL", "mtu less than device minimum"]);
      assertEquals(
        error.message,
        "RTM_NEWLINK v0 mtu 10: invalid argument (EINVAL): mtu less than device minimum",
      );
      assertThrows(() => socket.do(newVeth("v0", "v2")), NetlinkError, "file exists (EEXIST)");
      assertThrows(() => socket.do(deleteLink("absent")), NetlinkError, "ENODEV");
      assertThrows(() => socket.ask(getLink(4711)), NetlinkError, "ENODEV");
      assertThrows(() => socket.do(deleteIngress(4711)), NetlinkError, "ENODEV");
      assertEquals(names(socket).sort(), ["lo", "v0", "v1"], "and the conversation goes on");
    });
  },
);

testUnless(
  notRoot(),
  "NetlinkSocket lists fifty links when they do not fit into one datagram",
  async () => {
    await inside((socket) => {
      for (let i = 0; i < 25; i++) socket.do(newVeth(`a${i}`, `b${i}`));
      assertEquals(names(socket).length, 51);
      assertEquals(new Set(names(socket)).size, 51);
    });
  },
);
