// Walks the calls of `netns list` and `netns doctor --fix`, each failing once, in a process of its own: the first one of new
// mount, network and pid namespaces, so that nothing else is seen or touched. What is wrong goes to standard output, a
// JSON text a line; the last line is how many points there were.
import { call } from "../../ffi/call.ts";
import { Host } from "../../ffi/host.ts";
import { observe } from "../../ffi/observer.ts";
import type { ErrnoName } from "../../ffi/abi/errno.ts";
import { AT_FDCWD, O } from "../../ffi/abi/file_flags.ts";
import { CLONE } from "../../ffi/abi/process_flags.ts";
import { close, openat } from "../../ffi/syscalls/file.ts";
import { setns, unshare } from "../../ffi/syscalls/namespace.ts";
import { getLinks, newVeth, parseLink } from "../../ffi/netlink/link.ts";
import { deleteLink } from "../../ffi/netlink/link.ts";
import { NetlinkSocket } from "../../ffi/netlink/socket.ts";
import { newIngress, newRedirect } from "../../ffi/netlink/traffic.ts";
import { examine } from "../../runtime/netns/doctor/examine.ts";
import { FINDING_KINDS } from "../../runtime/netns/doctor/finding.ts";
import { kernelLayout } from "../../runtime/netns/discover/kernel_layout.ts";
import { netnsReports } from "../../runtime/netns/list/json.ts";
import { survey } from "../../runtime/netns/list/survey.ts";
import { children, closeImages, reap } from "./housekeeping.ts";
import { ERRNOS, type Hit, Injector } from "./injector.ts";
import { unclear } from "./unclear.ts";

const seed = Number(Deno.args[0]);
const all = Deno.args[1] === "all";
const NET = "/proc/thread-self/ns/net";
const [AF_NETLINK, SOCK_RAW] = [16, 3];

let points = 0;
Deno.mkdirSync("/run/state");
/** Where a stub's image is that cannot be a memfd. */
const STATE = "/run/state";
const PATIENCE_MS = 1000;
const { thread } = new Host(STATE);

function tell(problem: string): void {
  console.log(JSON.stringify(problem));
}

/** What may not be more than before: descriptors and children. A stub that is let go takes a moment to end. */
async function possessions(wanted?: string): Promise<string> {
  for (let pause = 1;; pause *= 2) {
    closeImages();
    for (const pid of children()) reap(pid);
    const now = `${descriptors().join(" ")}, ${children().length} children`;
    if (wanted === undefined || now === wanted || pause > PATIENCE_MS) return now;
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

/** What descriptors lead to: those of one kind are alike. */
function descriptors(): string[] {
  return [...Deno.readDirSync("/proc/self/fd")].map(({ name }) => {
    try {
      return Deno.readLinkSync(`/proc/self/fd/${name}`).replace(/\d+/g, "N");
    } catch {
      return ""; // the one that read the directory
    }
  }).sort();
}

/** Does something with each of its calls failing once. */
async function walk<T>(name: string, what: Walked<T>): Promise<void> {
  for (let k = 1;; k++) {
    for (const errno of all ? ERRNOS : [ERRNOS[(k + seed) % ERRNOS.length] ?? "EIO"]) {
      let seen = await point(k, errno, what);
      // What Deno opens once, whenever it likes, is not left behind again.
      if (seen.left !== undefined) seen = await point(k, errno, what);
      if (seen.hit === undefined) return;
      points++;
      for (const problem of [...seen.problems, ...seen.left === undefined ? [] : [seen.left]]) {
        tell(`${name}, ${errno} at call ${k}, ${seen.hit.shown}: ${problem}`);
      }
    }
  }
}

/** What is walked. */
interface Walked<T> {
  /** Before each time. */
  prepare?(): void;
  work(): Promise<T>;
  /** What is wrong with a result that came in spite of the error. */
  judge(result: T): string[];
  /** What is wrong after it, whatever came of it. */
  afterwards?(): Promise<string[]>;
}

async function point<T>(
  k: number,
  errno: ErrnoName,
  { prepare, work, judge, afterwards }: Walked<T>,
): Promise<{ hit: Hit | undefined; problems: string[]; left?: string }> {
  prepare?.();
  const before = await possessions();
  const injector = new Injector(k, errno);
  const problems: string[] = [];
  observe(injector);
  try {
    const result = await work();
    observe(undefined);
    if (injector.hit !== undefined) problems.push(...judge(result));
  } catch (error) {
    observe(undefined);
    if (injector.hit === undefined) throw error;
    const message = error instanceof Error ? error.message : String(error);
    problems.push(...unclear(message, injector.hit, errno));
  }
  const now = await possessions(before);
  problems.push(...await afterwards?.() ?? []);
  const { hit } = injector;
  return { hit, problems, ...(now === before ? {} : { left: `before ${before}; now ${now}` }) };
}

/** A namespace that a socket keeps, one that a descriptor keeps, and one with a process in it. */
function people(): Disposable {
  const host = new Host(STATE);
  const stub = host.spawn("holder");
  const home = stub.call(openat(AT_FDCWD, NET, O.O_RDONLY));
  stub.batch([unshare(CLONE.CLONE_NEWNET), call("socket", AF_NETLINK, SOCK_RAW, 0)]);
  stub.batch([unshare(CLONE.CLONE_NEWNET), openat(AT_FDCWD, NET, O.O_RDONLY)]);
  stub.batch([setns(home, CLONE.CLONE_NEWNET), close(home)]);
  const inside = host.spawn("inside");
  inside.call(unshare(CLONE.CLONE_NEWNET));
  return {
    [Symbol.dispose]() {
      for (const each of [stub, inside]) {
        each[Symbol.dispose]();
        each.pidfd.reap();
        each.pidfd[Symbol.dispose]();
      }
    },
  };
}

async function list(): Promise<void> {
  using _people = people();
  for (const way of ["bpf", "proc", "auto"] as const) {
    const look = async () => {
      const options = { way, kinds: [], only: false, long: true, tree: true, useCache: true };
      return await survey(new Host(STATE), options);
    };
    const right = JSON.stringify(netnsReports(await look()));
    await walk(`list by ${way}`, {
      work: look,
      judge: (found) => {
        const now = JSON.stringify(netnsReports(found));
        return now === right || found.unseen.length > 0
          ? []
          : [`it found ${now}, told nobody, and not ${right}`];
      },
    });
  }
}

/** A link that is deaf because its filter sends to another one that is gone; a file without a namespace. */
function sickness(): void {
  using socket = NetlinkSocket.open(thread);
  const index = (name: string) =>
    socket.dump(getLinks()).map(parseLink).find((link) => link.name === name)?.index ?? 0;
  if (index("deaf") !== 0) socket.do(deleteLink("deaf"));
  socket.do(newVeth("deaf", "peer"));
  socket.do(newVeth("gone", "gone-peer"));
  socket.do(newIngress(index("deaf")));
  socket.do(newRedirect(index("deaf"), index("gone")));
  socket.do(deleteLink("gone"));
  Deno.writeTextFileSync("/run/netns/old", "");
  Deno.utimeSync("/run/netns/old", 1, 1);
}

/** `--fix` without `--yes`, as the command does it: a cure that fails keeps none of the others from being tried. */
function treatment(): Promise<{ told: string[]; left: number }> {
  using examination = examine(new Host(STATE), new Set(FINDING_KINDS), true);
  const told: string[] = [...examination.unseen];
  for (const { finding, cure } of examination.cases) {
    if (!finding.certain) continue;
    try {
      cure();
    } catch (error) {
      told.push(error instanceof Error ? error.message : String(error));
    }
  }
  return Promise.resolve({ told, left: cases() });
}

/** How many things that are certainly dead are there, seen without a fault. */
function cases(): number {
  using examination = unwatched(() => examine(new Host(STATE), new Set(FINDING_KINDS), true));
  return examination.cases.filter(({ finding }) => finding.certain).length;
}

function unwatched<T>(work: () => T): T {
  observe(undefined);
  return work();
}

async function doctor(): Promise<void> {
  await walk("doctor --fix", {
    prepare: sickness,
    work: treatment,
    judge: ({ told, left }) =>
      left === 0 || told.length > 0 ? [] : [`${left} are left, and nobody was told`],
    afterwards: async () => {
      const { told, left } = await treatment();
      return left === 0 ? [] : [`the next --fix leaves ${left}: ${told.join("; ")}`];
    },
  });
}

// Thousands of calls read the kernel's BTF, and one is as good as another: it is kept from here on.
kernelLayout(thread, true);
await list();
await doctor();
console.log(points);
Deno.exit(0);
