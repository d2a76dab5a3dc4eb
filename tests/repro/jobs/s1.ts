// containerd #9218: a child that was made for its user namespace was collected by another reaper of the process, and its
// number went to a stranger, who was then killed, waited for, or whose namespace was taken.
import { syscallNumber } from "../../../ffi/abi/syscall_numbers.ts";
import { AT_FDCWD, O } from "../../../ffi/abi/file_flags.ts";
import { CLONE, P, WAIT } from "../../../ffi/abi/process_flags.ts";
import { SIGNAL } from "../../../ffi/abi/signals.ts";
import { Host } from "../../../ffi/host.ts";
import { syscall } from "../../../ffi/libc.ts";
import { observe } from "../../../ffi/observer.ts";
import type { Pidfd } from "../../../ffi/pidfd.ts";
import type { Remote } from "../../../ffi/remote.ts";
import { NamespaceProcessGone, UserNamespaces } from "../../../ffi/user_namespace.ts";
import { SyscallError } from "../../../ffi/syscall_error.ts";
import { close, openat, write } from "../../../ffi/syscalls/file.ts";
import { SOCK, socketpair } from "../../../ffi/syscalls/socket.ts";
import type { Finding, Job, World } from "../job.ts";
import { type Harm, PidReuse, type Stranger } from "../pid_reuse.ts";
import { generator } from "../../random.ts";

const ROUNDS = 1000;
const AT_ONCE = 100;
const FORCED = "a reaper thread; numbers by ns_last_pid";
/** kill(2), which belay does not have. */
const KILL = Deno.build.arch === "x86_64" ? 62 : 129;

const host = new Host("/tmp");
const { thread } = host;

/** Each call gets its own: user 0 of the namespace is another one outside. */
function mapsOf(id: number) {
  const ranges = [{ containerID: 0, hostID: 100_000 + id, size: 1 }];
  return { uidMappings: ranges, gidMappings: ranges };
}

/** What was done to strangers in some rounds. */
interface Count {
  /** Rounds in which a stranger was harmed. */
  harmed: number;
  readonly kinds: Set<Harm>;
}

function note(count: Count, harm: readonly Harm[]): void {
  if (harm.length > 0) count.harmed++;
  for (const each of harm) count.kinds.add(each);
}

/** The way of #9218: the number that clone returned, and what it means at each moment. */
class Naive {
  readonly #stub = host.spawn("naive");
  readonly #there: number;

  constructor(private readonly reuse: PidReuse) {
    const [, its] = thread.call(socketpair(SOCK.SOCK_SEQPACKET));
    [this.#there = -1] = this.#stub.give([its]);
  }

  /** One namespace; before one of the steps, at random, its child is struck. */
  round(at: number, count: Count): void {
    const flags = CLONE.CLONE_NEWUSER | CLONE.CLONE_PARENT;
    const child = this.#stub.cloneIdle({ flags }, this.#there);
    const { pid } = child; // all that it keeps
    let namespace: number | undefined;
    let stranger: Stranger | undefined;
    const map = (name: string) => {
      const opened = openat(AT_FDCWD, `/proc/${pid}/${name}`, O.O_WRONLY);
      thread.batch([opened, write(opened, "0 100000 1\n"), close(opened)]);
    };
    const steps = [
      () => namespace = thread.call(openat(AT_FDCWD, `/proc/${pid}/ns/user`, O.O_RDONLY)),
      () => map("uid_map"),
      () => map("gid_map"),
      () => syscall(KILL, [pid, SIGNAL.SIGKILL, 0, 0, 0, 0]),
      // It would hang: the stranger is a child of this process, too.
      () => syscall(syscallNumber("waitid"), [P.P_PID, pid, 0, NO_WAIT, 0, 0]),
    ];
    for (const [i, step] of steps.entries()) {
      if (i === at % steps.length) stranger = this.reuse.strike(child);
      if (i === KILLING && stranger !== undefined && this.reuse.isMapped(stranger)) {
        count.kinds.add("mapped"); // which nobody sees once it is dead
      }
      try {
        step();
      } catch (error) {
        if (!(error instanceof SyscallError)) throw error; // it goes on as if its child were there
      }
    }
    if (stranger !== undefined) note(count, this.reuse.harmTo(stranger, namespace));
    if (namespace !== undefined) thread.call(close(namespace));
    child[Symbol.dispose]();
  }

  end(): void {
    this.reuse.end(this.#stub);
  }
}

/** The step of the naive way that kills. */
const KILLING = 3;
const NO_WAIT = BigInt(WAIT.WEXITED | WAIT.WNOHANG);

/** belay's way, with an eye on the children. */
class Ours implements Disposable {
  readonly namespaces: UserNamespaces;
  /** Those of the call under way, held by descriptors of their own. */
  children: { pidfd: Pidfd; userns: bigint }[] = [];

  constructor(private readonly reuse: PidReuse) {
    const stub = host.spawn("userns");
    const watched: Remote = new Proxy(stub, {
      get: (target, name) => {
        const value = Reflect.get(target, name);
        if (name !== "cloneIdle") return typeof value === "function" ? value.bind(target) : value;
        return (...args: Parameters<Remote["cloneIdle"]>) => {
          const child = target.cloneIdle(...args);
          this.children.push({ pidfd: child, userns: reuse.usernsOf(child) });
          return child;
        };
      },
    });
    this.namespaces = new UserNamespaces(thread, watched, true);
  }

  /** One namespace; before the k-th call that is made once the child is there, that is struck. Whether one was made. */
  round(k: number, count: Count, id: number): boolean {
    let stranger: Stranger | undefined;
    let calls = 0;
    this.children = [];
    observe({
      before: () => {
        const [child] = this.children;
        if (child !== undefined && ++calls === k) stranger = this.reuse.strike(child.pidfd);
        return undefined;
      },
      after() {},
    });
    let namespace: number | undefined;
    try {
      const { uidMappings, gidMappings } = mapsOf(id);
      namespace = this.namespaces.getUsernsFd(uidMappings, gidMappings);
    } catch (error) {
      if (!(error instanceof NamespaceProcessGone)) throw error; // it was told, and has nothing
    } finally {
      observe(undefined);
    }
    if (stranger === undefined) throw new Error(`there was no call ${k}`);
    note(count, this.reuse.harmTo(stranger, namespace));
    if (namespace === undefined) return false;
    if (this.reuse.inodeOf(namespace) !== this.children[0]?.userns) count.harmed++;
    thread.call(close(namespace));
    return true;
  }

  /** How many calls a round makes once its child is there. */
  count(): number {
    let calls = 0;
    this.children = [];
    observe({
      before: () => {
        if (this.children.length > 0) calls++;
        return undefined;
      },
      after() {},
    });
    const { uidMappings, gidMappings } = mapsOf(0);
    let namespace;
    try {
      namespace = this.namespaces.getUsernsFd(uidMappings, gidMappings);
    } finally {
      observe(undefined);
    }
    thread.call(close(namespace));
    return calls;
  }

  /** Many at once, beside the reaper; how many are not what they should be. */
  atOnce(): number {
    this.children = [];
    const requests = Array.from({ length: AT_ONCE }, (_, id) => mapsOf(id));
    const made = this.namespaces.getUsernsFds(requests);
    const wrong = made.filter((fd, i) => this.reuse.inodeOf(fd) !== this.children[i]?.userns);
    thread.batch(made.map((fd) => close(fd)));
    return wrong.length + AT_ONCE - made.length;
  }

  [Symbol.dispose](): void {
    this.namespaces[Symbol.dispose]();
  }
}

async function withReaper(work: () => Finding[]): Promise<Finding[]> {
  const shared = new Int32Array(new SharedArrayBuffer(8));
  const reaper = new Worker(import.meta.resolve("../hostile_reaper.ts"), { type: "module" });
  await new Promise((resolve) => {
    reaper.onmessage = resolve;
    reaper.postMessage(shared);
  });
  try {
    return work();
  } finally {
    Atomics.store(shared, 0, 1);
    Atomics.notify(shared, 0);
  }
}

function strangers({ say, seed }: World): Finding[] {
  const next = generator(seed);
  using reuse = new PidReuse();
  const theirs: Count = { harmed: 0, kinds: new Set() };
  const naive = new Naive(reuse);
  for (let i = 0; i < ROUNDS; i++) naive.round(next(1000), theirs);
  naive.end();
  say(`by number: strangers were ${[...theirs.kinds].join(", ")}`);
  const ours: Count = { harmed: 0, kinds: new Set() };
  let made = 0;
  let wrong = 0;
  using belay = new Ours(reuse);
  belay.count(); // the first one makes some more calls
  const calls = belay.count();
  for (let i = 0; i < ROUNDS; i++) if (belay.round(1 + next(calls), ours, i)) made++;
  say(`by pidfd, struck before one of ${calls} calls: ${made} namespaces, ${ROUNDS - made} errors`);
  for (let i = 0; i < ROUNDS; i += AT_ONCE) wrong += belay.atOnce();
  return [
    {
      what: "rounds in which a stranger was mapped, signalled or handed out",
      ...{ rounds: ROUNDS, naive: theirs.harmed, belay: ours.harmed, forced: FORCED },
    },
    {
      what: `namespaces of another than the child, ${AT_ONCE} at once`,
      rounds: ROUNDS,
      belay: wrong,
    },
  ];
}

/** S1. */
export const job: Job = {
  name: "s1",
  bug: "a child's number goes to a stranger, who is killed or mapped (containerd #9218)",
  obstacle: () => {
    try {
      Deno.writeTextFileSync("/proc/sys/kernel/ns_last_pid", "300");
      return undefined;
    } catch (error) {
      return `process numbers cannot be chosen here: ${error}`;
    }
  },
  run: (world) => withReaper(() => strangers(world)),
};
