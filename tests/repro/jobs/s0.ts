// urunc #588, #587: network work on whichever OS thread the scheduler picked, and what a killed VMM leaves behind.
import { AT_FDCWD, O } from "../../../ffi/abi/file_flags.ts";
import { CLONE } from "../../../ffi/abi/process_flags.ts";
import { AF } from "../../../ffi/abi/rtnetlink.ts";
import { syscallNumber } from "../../../ffi/abi/syscall_numbers.ts";
import { syscallElsewhere } from "../../../ffi/libc.ts";
import { getLink, parseLink, setLink } from "../../../ffi/netlink/link.ts";
import { NetlinkSocket } from "../../../ffi/netlink/socket.ts";
import { close, openat } from "../../../ffi/syscalls/file.ts";
import { setns } from "../../../ffi/syscalls/namespace.ts";
import { NetnsWorker } from "../../../runtime/netns/netns_worker.ts";
import type { FilterWiring } from "../../../runtime/netns/redirect_by_filters.ts";
import { handOver, takeBackWiring, wireTap } from "../../../runtime/netns/wire_tap.ts";
import type { Finding, Job, World } from "../job.ts";
import {
  crash,
  deaf,
  host,
  leftovers,
  makeSandboxes,
  naiveVmm,
  removeSandboxes,
  SANDBOX_NEEDS,
  wireNaively,
} from "../sandboxes.ts";

const ROUNDS = 1000;
const KILLS = 50;
/** How long a ping may take that is to be answered, and one that is not expected to be: seconds. */
const PATIENCE = { answer: 15, silence: 3 } as const;
/** How long the links of a killed process may take to go. */
const DYING_MS = 15_000;
/** lo's index in every namespace. */
const LO = 1;
const SOCK_RAW_CLOEXEC = 0o2000003n;

const { thread } = host;

/** Link work: lo gets an MTU that it has in no other round. */
function work(socket: NetlinkSocket, round: number): void {
  socket.do(setLink(LO, { mtu: 10_000 + round }));
}

/** Whether the work of a round was done in the namespace of a socket. */
function arrived(socket: NetlinkSocket, round: number): boolean {
  return parseLink(socket.ask(getLink(LO))).mtu === 10_000 + round;
}

/** A netlink socket by an asynchronous call, as a runtime with a scheduler opens it: on a thread of its pool. */
async function openSomewhere(): Promise<NetlinkSocket> {
  const number = syscallNumber("socket");
  return new NetlinkSocket(
    thread,
    await syscallElsewhere(number, BigInt(AF.AF_NETLINK), SOCK_RAW_CLOEXEC, 0n),
  );
}

/** How often link work landed in another namespace than the one that had just been entered. */
async function wrongThread({ say }: World): Promise<Finding> {
  await using first = await NetnsWorker.enter(thread, "new");
  await using second = await NetnsWorker.enter(thread, "new");
  const home = thread.call(openat(AT_FDCWD, "/proc/thread-self/ns/net", O.O_RDONLY));
  const places = [first, second].map((worker) => ({
    ...{ worker, fd: worker.openNamespace(), witness: NetlinkSocket.open(worker) },
  }));
  const lost = { naive: 0, belay: 0 };
  for (let round = 0; round < ROUNDS; round++) {
    const place = places[round % 2];
    if (place === undefined) throw new Error("there are two");
    thread.call(setns(place.fd, CLONE.CLONE_NEWNET));
    // Two at once, as there is always something else under way: the pool's threads are born here and there.
    using other = await Promise.all([openSomewhere(), openSomewhere()]).then(([one, two]) => {
      one[Symbol.dispose]();
      return two;
    });
    work(other, round);
    if (!arrived(place.witness, round)) lost.naive++;
  }
  thread.call(setns(home, CLONE.CLONE_NEWNET));
  for (let round = ROUNDS; round < 2 * ROUNDS; round++) {
    const place = places[round % 2];
    if (place === undefined) throw new Error("there are two");
    using socket = NetlinkSocket.open(place.worker);
    await Promise.all([Promise.resolve(), Promise.resolve()]); // no less of the event loop in between
    work(socket, round);
    if (!arrived(place.witness, round)) lost.belay++;
  }
  for (const { fd, witness } of places) {
    thread.call(close(fd));
    witness[Symbol.dispose]();
  }
  thread.call(close(home));
  say(`link work in another namespace: ${lost.naive} and ${lost.belay} of ${ROUNDS} rounds`);
  return { what: "link work that landed in another namespace", rounds: ROUNDS, ...lost };
}

/** What is left of TAPs and redirections after the processes that had the TAPs were killed. */
async function leak({ say }: World): Promise<Finding[]> {
  const naive = await makeSandboxes("naive", 200, KILLS);
  const belay = await makeSandboxes("belay", 201, KILLS);
  const before = await deaf([...naive, ...belay], PATIENCE.answer);
  if (before > 0) throw new Error(`${before} eth0 do not answer before anything is done`);
  for (const sandbox of naive) {
    await wireNaively(sandbox, "tap0");
    const vmm = naiveVmm(sandbox, "tap0");
    crash(vmm);
    vmm.pidfd[Symbol.dispose]();
  }
  const ways = new Set<string>();
  for (const sandbox of belay) {
    const journal: FilterWiring[] = [];
    const vmm = host.spawn("vmm");
    {
      await using worker = await NetnsWorker.enter(thread, { name: sandbox.name });
      const record = (wiring: FilterWiring) => void journal.push(wiring);
      const wiring = wireTap(worker, { link: "eth0", name: "tap0", record });
      ways.add(wiring.way);
      handOver(thread, vmm, wiring);
    }
    crash(vmm);
    vmm.pidfd[Symbol.dispose]();
    for (const wiring of journal) await takeBackWiring(thread, { name: sandbox.name }, wiring);
  }
  say(`belay's way here: by ${[...ways].join(" and ")}`);
  const left = { naive: await leftovers(naive), belay: await leftovers(belay, DYING_MS) };
  const silent = {
    naive: await deaf(naive, PATIENCE.silence),
    belay: await deaf(belay, PATIENCE.answer),
  };
  await removeSandboxes([...naive, ...belay]);
  const row = (what: string, key: keyof typeof left.naive): Finding => ({
    ...{ what, rounds: KILLS, naive: left.naive[key], belay: left.belay[key] },
  });
  return [
    row("TAPs left by killed VMMs", "taps"),
    row("ingress qdiscs left", "qdiscs"),
    row("redirecting filters left", "filters"),
    { what: "eth0 that no longer answer", rounds: KILLS, ...silent },
  ];
}

/** S0. */
export const job: Job = {
  name: "s0",
  bug: "network work on the wrong thread, and what a killed VMM leaves behind (urunc #588, #587)",
  needs: SANDBOX_NEEDS,
  run: async (world) => [await wrongThread(world), ...await leak(world)],
};
