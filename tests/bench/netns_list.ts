// `belay netns list` beside `lsns --type net`, where 200 network namespaces and 10,000 descriptors are open.
import { type Call, call } from "../../ffi/call.ts";
import { Host } from "../../ffi/host.ts";
import type { Remote } from "../../ffi/remote.ts";
import { AT_FDCWD, O } from "../../ffi/abi/file_flags.ts";
import { MS_BIND, MS_PRIVATE, MS_REC } from "../../ffi/abi/mount_flags.ts";
import { CLONE } from "../../ffi/abi/process_flags.ts";
import { openat } from "../../ffi/syscalls/file.ts";
import { mount } from "../../ffi/syscalls/mount.ts";
import { setns, unshare } from "../../ffi/syscalls/namespace.ts";
import { capture, mustRun } from "../../scripts/step.ts";
import type { Runtime } from "./contestants.ts";
import type { Measured, Meter } from "./meter.ts";
import { inTurns, type Row } from "./rounds.ts";

/** How the 200 namespaces are held: most by a process, as on a machine full of containers. */
const HELD = { process: 160, mount: 20, nsfs: 10, socket: 10 } as const;
/** And 10,000 descriptors: one half files, the other sockets. */
const OPENERS = 10;
const OPEN = 1000;
const BATCH = 50;

const NET = "/proc/thread-self/ns/net";
const [AF_UNIX, AF_INET, AF_NETLINK] = [1, 2, 16];
const [SOCK_STREAM, SOCK_DGRAM, SOCK_RAW] = [1, 2, 3];

/** Makes it all; disposing of it ends it. */
function crowd(scratch: string): Disposable {
  const host = new Host("/tmp");
  const stubs: Remote[] = [];
  const spawn = (): Remote => {
    const stub = host.spawn("crowd");
    stubs.push(stub);
    return stub;
  };
  const end = () => {
    for (const stub of stubs) {
      stub[Symbol.dispose]();
      stub.pidfd.reap();
      stub.pidfd[Symbol.dispose]();
    }
  };
  try {
    for (let i = 0; i < HELD.process; i++) spawn().call(unshare(CLONE.CLONE_NEWNET));
    const holder = spawn();
    const home = holder.call(openat(AT_FDCWD, NET, O.O_RDONLY));
    holder.batch([unshare(CLONE.CLONE_NEWNS), mount("none", "/", 0, MS_REC | MS_PRIVATE)]);
    const hold = (count: number, how: (i: number) => Call<unknown>) => {
      for (let i = 0; i < count; i++) holder.batch([unshare(CLONE.CLONE_NEWNET), how(i)]);
    };
    for (let i = 0; i < HELD.mount; i++) Deno.writeTextFileSync(`${scratch}/netns-${i}`, "");
    hold(HELD.mount, (i) => mount(NET, `${scratch}/netns-${i}`, 0, MS_BIND));
    hold(HELD.nsfs, () => openat(AT_FDCWD, NET, O.O_RDONLY));
    hold(HELD.socket, () => call("socket", AF_NETLINK, SOCK_RAW, 0));
    holder.call(setns(home, CLONE.CLONE_NEWNET));
    for (let i = 0; i < OPENERS; i++) {
      const opener = spawn();
      for (let j = 0; j < OPEN; j += BATCH) {
        opener.batch(Array.from({ length: BATCH }, (_, at) => descriptor(j + at)));
      }
    }
    return { [Symbol.dispose]: end };
  } catch (error) {
    end();
    throw error;
  }
}

function descriptor(i: number): Call<number> {
  switch (i % 4) {
    case 0:
      return openat(AT_FDCWD, "/dev/null", O.O_RDONLY);
    case 1:
      return openat(AT_FDCWD, "/etc/passwd", O.O_RDONLY);
    case 2:
      return call("socket", AF_UNIX, SOCK_STREAM, 0);
    default:
      return call("socket", AF_INET, SOCK_DGRAM, 0);
  }
}

/** Measures, having seen that every belay finds all that lsns finds, and more. */
export async function benchNetnsList(
  meter: Meter,
  runtimes: readonly Runtime[],
  scratch: string,
  rounds: number,
): Promise<Row[]> {
  const lsns = (await mustRun(["which", "lsns"])).trim();
  using _crowd = crowd(scratch);
  for (const { words } of runtimes) await findsMore(words, lsns);
  return await inTurns([
    ...runtimes.map(({ name, words }) => ({
      name,
      measure: () => meter.run({ words: [...words, "netns", "list"], cwd: scratch }),
    })),
    {
      name: "lsns --type net",
      measure: () => patient(() => meter.run({ words: [lsns, "--type", "net"], cwd: scratch })),
    },
  ], rounds);
}

/** lsns fails when a process ends while it looks at it: then once more. */
function patient(measure: () => Measured): Measured {
  for (let tries = 1;; tries++) {
    const measured = measure();
    if (measured.status === 0 || tries === 20) return measured;
  }
}

async function findsMore(words: readonly string[], lsns: string): Promise<void> {
  const theirs = await inodesOf(lsns);
  const all: { netns: number }[] = JSON.parse(await mustRun([...words, "netns", "list", "--json"]));
  const ours = new Set(all.map(({ netns }) => netns));
  const missing = theirs.filter((inode) => !ours.has(inode));
  // What came or went between the two is somebody else's.
  if (missing.length > 5) throw new Error(`${words[0]} does not find ${missing.join(", ")}`);
  const least = theirs.length - missing.length + HELD.mount + HELD.nsfs + HELD.socket;
  if (ours.size < least) throw new Error(`${words[0]} finds ${ours.size} of ${least} namespaces`);
}

/** What lsns finds, asked again as above. */
async function inodesOf(lsns: string): Promise<number[]> {
  for (let tries = 1;; tries++) {
    const words = [lsns, "--type", "net", "--noheadings", "--output", "NS"];
    const { code, stdout, stderr } = await capture(words);
    if (code === 0) return stdout.trim().split("\n").map(Number);
    if (tries === 20) throw new Error(`lsns: exit code ${code}: ${stderr}`);
  }
}
