import type { Kernel } from "./kernel.ts";
import type { Carriers, Remote } from "./remote.ts";
import type { Pidfd } from "./pidfd.ts";
import { StubGone } from "./stub.ts";
import { tolerate } from "./call.ts";
import { type MappedRange, mapProblem, mapText } from "./id_map.ts";
import { type NamespaceEntry, openNamespace } from "./process_namespaces.ts";
import { capget } from "./syscalls/credentials.ts";
import { close, openat, statx, write } from "./syscalls/file.ts";
import { setns, unshare } from "./syscalls/namespace.ts";
import { pidfd_send_signal, waitid } from "./syscalls/process.ts";
import { SOCK, socketpair } from "./syscalls/socket.ts";
import { AT, AT_FDCWD, O } from "./abi/file_flags.ts";
import { CLONE, WAIT } from "./abi/process_flags.ts";
import { SIGNAL } from "./abi/signals.ts";
import { showFlags } from "./show.ts";

const CAP_SETGID = 1n << 6n;

/** Maps that no kernel would take. */
export class IdMapError extends Error {
  override readonly name = "IdMapError";
}

/** A process that lives in the namespaces that were asked for was gone before its user was done with it. */
export class NamespaceProcessGone extends Error {
  override readonly name = "NamespaceProcessGone";

  /** Names the process. */
  constructor({ pid }: Pidfd, options?: ErrorOptions) {
    super(`process ${pid} of the new namespaces was killed while it was in use`, options);
  }
}

/** What may be made for a user namespace by unshare(2), so that the caller itself is in it. */
const OWNED = {
  CLONE_NEWNET: CLONE.CLONE_NEWNET,
  CLONE_NEWIPC: CLONE.CLONE_NEWIPC,
  CLONE_NEWUTS: CLONE.CLONE_NEWUTS,
} as const;

/** A process in new namespaces, as long as the callback runs. */
export interface OwnedNamespaces {
  /** The process, held. Whatever is done by its number is only right if this is alive afterwards, which is checked. */
  readonly pidfd: Pidfd;
  /** A descriptor of one of its namespaces, owned by the caller. */
  open(entry: NamespaceEntry): number;
}

/** Where children wait that do nothing: they read from a socket of this process, and end when it is closed. */
interface WaitingRoom {
  readonly mine: number;
  /** The other end, in the stub. */
  readonly there: number;
}

/**
 * Makes user namespaces, in children of one stub that serves many requests. Every child is held by the pidfd that its
 * own clone3 returned; what was opened by its number is trusted when the pidfd tells afterwards that it is alive, and
 * belongs to the very namespace that the pidfd names (containerd #9218). A child ends when it is told to, or when this
 * process ends, by whatever hand.
 */
export class UserNamespaces implements Disposable {
  readonly #thread: Kernel;
  readonly #stub: Remote;
  readonly #owned: boolean;
  #room: WaitingRoom | undefined;
  #denies: boolean | undefined;
  #numbersFit = false;

  /** @param stub Where the children come from, on the host. It is the caller's, and must stay out of user namespaces. */
  constructor(thread: Kernel, stub: Remote, owned = false) {
    this.#thread = thread;
    this.#stub = stub;
    this.#owned = owned;
  }

  /** With a stub of its own, which ends with it. */
  static start(carriers: Carriers): UserNamespaces {
    return new UserNamespaces(carriers.thread, carriers.spawn("userns"), true);
  }

  /**
   * Makes a user namespace with these maps and returns a descriptor of it, close-on-exec and the caller's: the
   * namespace lives as long as somebody holds one. Without CAP_SETGID setgroups(2) is denied in it, which the kernel
   * wants before it takes a map of one's own group.
   * @throws IdMapError for maps that no kernel takes; it names the entry.
   * @throws SyscallError EPERM for maps that this user may not make; ESRCH when the child was killed.
   */
  getUsernsFd(uidMappings: readonly MappedRange[], gidMappings: readonly MappedRange[]): number {
    return this.getUsernsFds([{ uidMappings, gidMappings }])[0] as number;
  }

  /** As `getUsernsFd`, several at once: all or none. */
  getUsernsFds(
    requests: readonly {
      readonly uidMappings: readonly MappedRange[];
      readonly gidMappings: readonly MappedRange[];
    }[],
  ): number[] {
    for (const { uidMappings, gidMappings } of requests) {
      const wrong = mapProblem(uidMappings, "uidMappings") ??
        mapProblem(gidMappings, "gidMappings");
      if (wrong !== undefined) throw new IdMapError(`${wrong.where}: ${wrong.problem}`);
    }
    const children: Pidfd[] = [];
    const made: number[] = [];
    const failures: unknown[] = [];
    try {
      for (const _ of requests) children.push(this.#child());
      for (const [i, { uidMappings, gidMappings }] of requests.entries()) {
        made.push(this.#mapped(children[i] as Pidfd, mapText(uidMappings), mapText(gidMappings)));
      }
    } catch (error) {
      failures.push(error);
    }
    failures.push(...this.#end(children));
    if (failures.length === 0) return made;
    this.#thread.batch(made.map((fd) => close(fd)));
    throw failures[0];
  }

  /**
   * Makes namespaces that belong to a user namespace, with a process in them while `use` runs. The process is asked
   * whether it lives after `use`: what that found by the process's number is the process's own then.
   * @param userns A descriptor of the user namespace.
   * @param flags CLONE_NEWNET, CLONE_NEWIPC and CLONE_NEWUTS.
   * @throws RangeError for other flags, CLONE_NEWUSER among them.
   * @throws NamespaceProcessGone when the process was killed meanwhile: then nothing that `use` found may be trusted.
   */
  withNamespacesOwnedBy<T>(userns: number, flags: number, use: (owned: OwnedNamespaces) => T): T {
    refuseOthers(flags);
    const child = this.#stub.clone("owned", { flags: CLONE.CLONE_PARENT });
    const { pidfd } = child;
    const failures: unknown[] = [];
    let result: T | undefined;
    try {
      const [there = -1] = child.give([userns]);
      child.batch([setns(there, CLONE.CLONE_NEWUSER), close(there), unshare(flags)]);
      result = use({ pidfd, open: (entry) => openNamespace(this.#thread, pidfd, entry) });
      if (!pidfd.alive()) throw new NamespaceProcessGone(pidfd);
    } catch (error) {
      failures.push(error);
    }
    child[Symbol.dispose]();
    failures.push(...this.#end([pidfd]));
    if (failures.length > 0) throw failures[0];
    return result as T;
  }

  /** Lets children that are still there go, and the stub if it is its own. Twice is harmless. */
  [Symbol.dispose](): void {
    const room = this.#leaveRoom();
    if (!this.#owned) {
      if (room !== undefined) this.#closeThere(room);
      return;
    }
    if (this.#stub.pidfd.closed) return;
    this.#stub[Symbol.dispose]();
    const [failure] = this.#end([this.#stub.pidfd]);
    if (failure !== undefined) throw failure;
  }

  /** Ends every child that waits there. The next one gets another room. */
  #leaveRoom(): WaitingRoom | undefined {
    const room = this.#room;
    this.#room = undefined;
    if (room !== undefined) this.#thread.call(close(room.mine));
    return room;
  }

  #closeThere({ there }: WaitingRoom): void {
    try {
      this.#stub.call(close(there));
    } catch (error) {
      if (!(error instanceof StubGone)) throw error; // who has ended holds nothing open
    }
  }

  /** A child that does nothing, in a new user namespace without maps. */
  #child(): Pidfd {
    const { there } = this.#room ??= this.#waitingRoom();
    // A child of this process, not of the stub, so that it is ours to wait for.
    return this.#stub.cloneIdle({ flags: CLONE.CLONE_NEWUSER | CLONE.CLONE_PARENT }, there);
  }

  #waitingRoom(): WaitingRoom {
    const [mine, its] = this.#thread.call(socketpair(SOCK.SOCK_SEQPACKET));
    try {
      const [there = -1] = this.#stub.give([its]);
      return { mine, there };
    } catch (error) {
      this.#thread.call(close(mine));
      throw error;
    } finally {
      this.#thread.call(close(its));
    }
  }

  /** Opens a child's namespace and writes its maps. */
  #mapped(child: Pidfd, uidMap: string, gidMap: string): number {
    try {
      const namespace = openNamespace(this.#thread, child, "user");
      try {
        this.#writeMaps(child, namespace, uidMap, gidMap);
        return namespace;
      } catch (error) {
        this.#thread.call(close(namespace));
        throw error;
      }
    } catch (cause) {
      // Killed by a stranger: what failed then is only how it showed.
      if (!child.alive()) throw new NamespaceProcessGone(child, { cause });
      throw cause;
    }
  }

  #writeMaps(child: Pidfd, namespace: number, uidMap: string, gidMap: string): void {
    if (!this.#numbersFit) this.#compareNumbers(child, namespace);
    const open = (name: string) => openat(AT_FDCWD, `/proc/${child.pid}/${name}`, O.O_WRONLY);
    const [uids, gids, setgroups] = [open("uid_map"), open("gid_map"), open("setgroups")];
    const denied = this.#denies ??= (this.#thread.call(capget()).effective & CAP_SETGID) === 0n;
    this.#thread.batch([
      uids,
      gids,
      ...(denied ? [setgroups] : []),
      // Not before now: the number was the child's when they were opened only if it still has not been reaped.
      pidfd_send_signal(child.fd, 0),
      ...(denied ? [write(setgroups, "deny")] : []),
      write(uids, uidMap),
      write(gids, gidMap),
      close(uids),
      close(gids),
      ...(denied ? [close(setgroups)] : []),
    ]);
  }

  /** Whether /proc counts as this process does is seen once: signal 0 cannot tell. */
  #compareNumbers(child: Pidfd, namespace: number): void {
    const [byNumber, byPidfd] = this.#thread.batch([
      statx(AT_FDCWD, `/proc/${child.pid}/ns/user`, 0),
      statx(namespace, "", AT.AT_EMPTY_PATH),
    ]);
    this.#thread.call(pidfd_send_signal(child.fd, 0));
    if (byNumber.ino !== byPidfd.ino) {
      throw new Error(
        `/proc/${child.pid} is not the child of that number: /proc belongs to another pid namespace`,
      );
    }
    this.#numbersFit = true;
  }

  /** Ends children and waits for them; what went wrong. All of them are tried. */
  #end(children: readonly Pidfd[]): unknown[] {
    const failures: unknown[] = [];
    const each = (step: (child: Pidfd) => void) => {
      for (const child of children) {
        try {
          step(child);
        } catch (error) {
          failures.push(error);
        }
      }
    };
    // All at first, so that they end beside each other.
    each((child) => {
      try {
        child.signal(SIGNAL.SIGKILL);
      } catch (error) {
        this.#leaveRoom(); // the other way to end them: else the wait below would be for ever
        throw error;
      }
    });
    const gone = "another reaper of this process was faster, and told whoever asked it";
    each((child) => {
      this.#thread.call(tolerate(waitid(child.fd, WAIT.WEXITED), ["ECHILD"], gone));
    });
    each((child) => child[Symbol.dispose]());
    return failures;
  }
}

/**
 * `UserNamespaces.getUsernsFd` for one namespace, by a stub of its own.
 * @throws IdMapError, SyscallError, NamespaceProcessGone as there; then nothing is left.
 */
export function getUsernsFd(
  carriers: Carriers,
  uidMappings: readonly MappedRange[],
  gidMappings: readonly MappedRange[],
): number {
  using namespaces = UserNamespaces.start(carriers);
  const userns = namespaces.getUsernsFd(uidMappings, gidMappings);
  try {
    namespaces[Symbol.dispose]();
  } catch (error) {
    carriers.thread.call(close(userns));
    throw error;
  }
  return userns;
}

function refuseOthers(flags: number): void {
  if ((flags & CLONE.CLONE_NEWUSER) !== 0) {
    throw new RangeError("CLONE_NEWUSER: the new namespaces would belong to yet another one");
  }
  const known = Object.values(OWNED).reduce((bits, flag) => bits | flag, 0);
  if (flags !== 0 && (flags & ~known) === 0) return;
  throw new RangeError(
    `${showFlags(flags, CLONE)}: only ${Object.keys(OWNED).join(", ")} can be made so`,
  );
}
