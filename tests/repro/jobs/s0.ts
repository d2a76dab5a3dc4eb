// urunc #588, #587: network work on whichever OS thread the scheduler picked.
import { AT, AT_FDCWD, O } from "../../../ffi/abi/file_flags.ts";
import { CLONE } from "../../../ffi/abi/process_flags.ts";
import { syscallNumber } from "../../../ffi/abi/syscall_numbers.ts";
import type { Kernel } from "../../../ffi/kernel.ts";
import { addressOf, syscallElsewhere } from "../../../ffi/libc.ts";
import { Thread } from "../../../ffi/thread.ts";
import { close, openat, statx } from "../../../ffi/syscalls/file.ts";
import { setns } from "../../../ffi/syscalls/namespace.ts";
import { IFF, openTun, socketNamespace, tunSetIff } from "../../../ffi/syscalls/tun.ts";
import { NetnsWorker } from "../../../runtime/netns/netns_worker.ts";
import type { Finding, Job, World } from "../job.ts";

const ROUNDS = 100;
const thread = new Thread();

/** Makes a TAP through an open /dev/net/tun; the namespace that it came to be in. It is gone when the file is closed. */
function makeTap(kernel: Kernel, tun: number): number {
  try {
    kernel.call(tunSetIff(tun, "tap0", IFF.IFF_TAP | IFF.IFF_NO_PI));
    const namespace = kernel.call(socketNamespace(tun));
    const { ino } = kernel.call(statx(namespace, "", AT.AT_EMPTY_PATH));
    kernel.call(close(namespace));
    return Number(ino);
  } finally {
    kernel.call(close(tun));
  }
}

/** Opens /dev/net/tun by an asynchronous call, as a runtime with a scheduler does: on a thread of its pool. */
async function openSomewhere(): Promise<number> {
  const path = new TextEncoder().encode("/dev/net/tun\0").buffer;
  const memory = new ArrayBuffer(64);
  new Uint8Array(memory).set(new Uint8Array(path));
  return await syscallElsewhere(
    syscallNumber("openat"),
    BigInt(AT_FDCWD),
    addressOf(memory),
    BigInt(O.O_RDWR | O.O_CLOEXEC),
  );
}

/** How often a TAP came to be in another namespace than the one that had been entered. */
async function wrongThread({ say }: World): Promise<Finding> {
  await using first = await NetnsWorker.enter(thread, "new");
  await using second = await NetnsWorker.enter(thread, "new");
  const places = [first, second].map((worker) => ({ worker, fd: worker.openNamespace() }));
  const home = thread.call(openat(AT_FDCWD, "/proc/thread-self/ns/net", O.O_RDONLY));
  const lost = { naive: 0, belay: 0 };
  for (let round = 0; round < ROUNDS; round++) {
    const place = places[round % 2];
    if (place === undefined) throw new Error("there are two");
    thread.call(setns(place.fd, CLONE.CLONE_NEWNET));
    if (makeTap(thread, await openSomewhere()) !== place.worker.inode) lost.naive++;
  }
  thread.call(setns(home, CLONE.CLONE_NEWNET));
  for (let round = 0; round < ROUNDS; round++) {
    const worker = round % 2 === 0 ? first : second;
    const tun = worker.call(openTun());
    await Promise.resolve(); // as much of the event loop in between as above
    if (makeTap(worker, tun) !== worker.inode) lost.belay++;
  }
  for (const fd of [home, ...places.map(({ fd }) => fd)]) thread.call(close(fd));
  say(`TAPs made in another namespace: ${lost.naive} and ${lost.belay} of ${ROUNDS}`);
  return { what: "TAPs made in another namespace", rounds: ROUNDS, ...lost };
}

/** S0. */
export const job: Job = {
  name: "s0",
  bug: "network work on the wrong thread, and what a killed VMM leaves behind (urunc #588, #587)",
  run: async (world) => [await wrongThread(world)],
};
