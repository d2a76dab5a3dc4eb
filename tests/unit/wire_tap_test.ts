// TAPs and redirections, with real packets, in network namespaces of their own.
import { assert, assertEquals, assertThrows } from "@std/assert";
import { newAddress } from "../../ffi/netlink/address.ts";
import { getLink, newVeth, parseLink } from "../../ffi/netlink/link.ts";
import { newNeighbour } from "../../ffi/netlink/neighbour.ts";
import { NetlinkError, NetlinkSocket } from "../../ffi/netlink/socket.ts";
import {
  deleteIngress,
  getFilters,
  newIngress,
  newRedirect,
  parseFilter,
} from "../../ffi/netlink/traffic.ts";
import { TC_H } from "../../ffi/abi/rtnetlink.ts";
import { close, write } from "../../ffi/syscalls/file.ts";
import { IFF, openTun, tunGetIff, tunSetIff } from "../../ffi/syscalls/tun.ts";
import { NetnsWorker } from "../../runtime/netns/netns_worker.ts";
import type { FilterWiring } from "../../runtime/netns/redirect_by_filters.ts";
import { redirectProgram } from "../../runtime/netns/redirect_by_links.ts";
import { makeTapMortal, openTap } from "../../runtime/netns/tap.ts";
import { takeBackWiring, wireTap } from "../../runtime/netns/wire_tap.ts";
import { host, thread, withStub } from "../ffi_world.ts";
import { testUnless } from "../skip.ts";

import {
  arrives,
  farTap,
  frame,
  heldByVmm,
  index,
  ingresses,
  inSandbox,
  names,
  noTcx,
  obstacles,
  record,
  redirections,
  type Sandbox,
  untilGone,
} from "./wire_world.ts";
Deno.test("redirectProgram() is four instructions", () => {
  assertEquals(
    redirectProgram(0x01020304).toHex(),
    "b701000004030201" + "b702000000000000" + "8500000017000000" + "9500000000000000",
  );
});

testUnless(
  obstacles,
  "openTap() makes a TAP in the worker's namespace that goes with its descriptor",
  async () => {
    await inSandbox(async ({ inside, socket, outside }) => {
      const { fd, link } = openTap(inside, socket, { name: "tap%d", mtu: 1300 });
      assertEquals([link.name, link.kind, link.mtu, link.up], ["tap0", "tun", 1300, true]);
      using elsewhere = NetlinkSocket.open(outside);
      assert(!names(elsewhere).includes("tap0"));
      assert(names(socket).includes("tap0"));
      thread.call(close(fd));
      await untilGone(socket, "tap0");
      assertThrows(() => openTap(inside, socket, { name: "sixteen-letters!" }), RangeError);
    });
  },
);

for (const way of ["links", "filters"] as const) {
  const missing = way === "links" ? await noTcx() : undefined;
  testUnless([...obstacles, missing], `wireTap() carries frames both ways by ${way}`, async () => {
    await inSandbox((sandbox) => {
      const { inside, socket } = sandbox;
      const wiring = wireTap(inside, { link: "eth0", name: "tap0", way, record: () => {} });
      assertEquals([wiring.way, wiring.tap, wiring.fds.length], [
        way,
        "tap0",
        way === "links" ? 3 : 1,
      ]);
      assertEquals(parseLink(socket.ask(getLink("tap0"))).mtu, 1400, "as large as eth0's");
      const [near = -1] = wiring.fds;
      const distant = farTap(sandbox);
      thread.call(write(distant, frame(7)));
      assert(arrives(near, 7), "from outside into the TAP");
      thread.call(write(near, frame(8)));
      assert(arrives(distant, 8), "from the TAP to the outside");
      for (const fd of [...wiring.fds, distant]) thread.call(close(fd));
    });
  });
}

testUnless(
  [...obstacles, await noTcx()],
  "wireTap() leaves nothing when the process that has its descriptors is killed",
  async () => {
    await inSandbox(async ({ inside, socket }) => {
      const wiring = wireTap(inside, { link: "eth0", name: "tap0", way: "links", record });
      await heldByVmm(wiring, () => assert(names(socket).includes("tap0")));
      await untilGone(socket, "tap0");
      assertEquals([ingresses(socket), redirections(socket, "eth0")], [0, []]);
      // And once more in the same place: nothing is in the way.
      const again = wireTap(inside, { link: "eth0", name: "tap0", way: "links", record });
      for (const fd of again.fds) thread.call(close(fd));
    });
  },
);

/** Wires by filters, and has the VMM killed. */
async function killedFilters(
  { inside, socket }: Sandbox,
  options: { byName?: boolean } = {},
): Promise<FilterWiring> {
  const journal: FilterWiring[] = [];
  const wiring = wireTap(inside, {
    ...{ link: "eth0", name: "tap0", way: "filters", ...options },
    record: (entry) => {
      assertEquals(redirections(socket, "eth0"), [], "it is written down before it is made");
      journal.push(entry);
    },
  });
  await heldByVmm(wiring, () => {});
  const [entry] = journal;
  assert(entry !== undefined && journal.length === 1);
  return entry;
}

testUnless(
  obstacles,
  "takeBackWiring() removes what a killed VMM leaves by filters, and says so twice",
  async () => {
    await inSandbox(async (sandbox) => {
      const { inside, socket } = sandbox;
      const entry = await killedFilters(sandbox);
      await untilGone(socket, "tap0");
      assertEquals(redirections(socket, "eth0"), [0], "eth0 is deaf: its packets go to no device");
      const fd = inside.openNamespace();
      const { link } = entry;
      assertEquals(await takeBackWiring(thread, { fd }, entry), [
        `the filter on link ${link}`,
        `the ingress qdisc of link ${link}`,
      ]);
      assertEquals([ingresses(socket), redirections(socket, "eth0")], [0, []]);
      assertEquals(await takeBackWiring(thread, { fd }, entry), [], "nothing was left to do");
      thread.call(close(fd));
    });
  },
);

testUnless(
  obstacles,
  "takeBackWiring() removes a persistent TAP, but no other of its name",
  async () => {
    await inSandbox(async (sandbox) => {
      const { inside, socket } = sandbox;
      const entry = await killedFilters(sandbox, { byName: true });
      assert(names(socket).includes("tap0"), "it is persistent");
      const fd = inside.openNamespace();
      const done = await takeBackWiring(thread, { fd }, entry);
      assertEquals(done.at(-1), "TAP tap0");
      assert(!names(socket).includes("tap0"));
      const other = openTap(inside, socket, { name: "tap0" });
      assertEquals(await takeBackWiring(thread, { fd }, entry), []);
      assert(names(socket).includes("tap0"), "another TAP by that name is not touched");
      thread.call(close(other.fd));
      thread.call(close(fd));
    });
  },
);

testUnless(
  obstacles,
  "takeBackWiring() leaves alone what others have on the same link",
  async () => {
    await inSandbox(async ({ inside, socket }) => {
      socket.do(newVeth("other0", "other1"));
      const [eth0, other] = [index(socket, "eth0"), index(socket, "other0")];
      socket.do(newIngress(eth0, "clsact"));
      socket.do(newRedirect(eth0, other, TC_H.TC_H_CLSACT_INGRESS));
      const journal: FilterWiring[] = [];
      const wiring = wireTap(inside, {
        ...{ link: "eth0", name: "tap1", way: "filters" },
        record: (each) => void journal.push(each),
      });
      for (const fd of wiring.fds) thread.call(close(fd));
      await untilGone(socket, "tap1");
      const [own] = journal;
      assert(own !== undefined && !own.ownQdisc);
      const all = () =>
        socket.dump(getFilters(eth0, TC_H.TC_H_CLSACT_INGRESS)).map(parseFilter)
          .flatMap(({ redirectsTo }) => redirectsTo ?? []);
      assertEquals(all().sort(), [0, other].sort());
      const fd = inside.openNamespace();
      assertEquals(await takeBackWiring(thread, { fd }, own), [`the filter on link ${eth0}`]);
      assertEquals(all(), [other]);
      thread.call(close(fd));
      socket.do(deleteIngress(eth0, "clsact"));
    });
  },
);

testUnless(
  obstacles,
  "takeBackWiring() succeeds when the namespace is gone, or another is in its place",
  async () => {
    const journal: FilterWiring[] = [];
    await inSandbox(async (sandbox) => {
      journal.push(await killedFilters(sandbox));
    });
    const [entry] = journal;
    assert(entry !== undefined);
    const directory = await Deno.makeTempDir();
    await Deno.writeTextFile(`${directory}/plain`, "");
    for (const name of ["absent", "plain"]) {
      assertEquals(await takeBackWiring(thread, { name, directory }, entry), []);
    }
    await Deno.remove(directory, { recursive: true });
    await using other = await NetnsWorker.enter(thread, "new");
    const fd = other.openNamespace();
    assertEquals(await takeBackWiring(thread, { fd }, { ...entry, netns: 1 }), []);
    thread.call(close(fd));
    const stub = host.spawn("gone");
    stub[Symbol.dispose]();
    stub.pidfd.reap();
    assertEquals(await takeBackWiring(thread, { pidfd: stub.pidfd }, entry), []);
    stub.pidfd[Symbol.dispose]();
  },
);

testUnless(
  obstacles,
  "makeTapMortal() lets a persistent TAP go with the process that opened it by name",
  async () => {
    await inSandbox(async ({ inside, socket }) => {
      const wiring = wireTap(inside, {
        link: "eth0",
        name: "tap0",
        byName: true,
        record: () => {},
      });
      assertEquals(wiring.fds, []);
      // What a VMM does, in a process of its own: it opens the TAP by its name, in the namespace.
      const tun = inside.call(openTun());
      inside.call(tunSetIff(tun, wiring.tap, IFF.IFF_TAP | IFF.IFF_NO_PI));
      await withStub((vmm) => {
        const [there = -1] = vmm.give([tun]);
        thread.call(close(tun));
        assert(!makeTapMortal(thread, vmm.pidfd, 999));
        assert(!makeTapMortal(thread, vmm.pidfd, 0), "what is no TAP is left alone");
        assert(makeTapMortal(thread, vmm.pidfd, there));
        assertEquals(vmm.call(tunGetIff(there)).flags & IFF.IFF_PERSIST, 0);
        assert(names(socket).includes("tap0"));
      });
      await untilGone(socket, "tap0");
    });
  },
);

testUnless(obstacles, "wireTap() leaves nothing when it fails in the middle", async () => {
  await inSandbox(async ({ inside, socket }) => {
    socket.do(newAddress({ link: index(socket, "eth0"), address: "10.0.0.2", prefix: 24 }));
    const neighbour = { link: index(socket, "eth0"), address: "10.0.0.1" };
    socket.do(newNeighbour({ ...neighbour, hardware: "02:00:00:00:00:01" }));
    assertThrows(() => wireTap(inside, { link: "absent", name: "tap0", record }), NetlinkError);
    const failing = () => wireTap(inside, { link: "eth0", name: "tap0", way: "filters", record });
    assertThrows(failing, Error, "nothing is to be journalled here");
    await untilGone(socket, "tap0");
    assertEquals([ingresses(socket), redirections(socket, "eth0")], [0, []]);
  });
});
