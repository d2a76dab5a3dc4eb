import type { Kernel } from "../../../ffi/kernel.ts";
import type { Carriers } from "../../../ffi/remote.ts";
import { AT_FDCWD } from "../../../ffi/abi/file_flags.ts";
import { close, statx } from "../../../ffi/syscalls/file.ts";
import { getpid } from "../../../ffi/syscalls/process.ts";
import { discover, type Discovery, type Netns, type Way } from "../discover/discover.ts";
import { type HolderKind, kindsOf } from "../discover/holder.ts";
import { LinkReader } from "../discover/links_inside.ts";
import { openNetns } from "../discover/open_netns.ts";
import { ownerOf, type UserNamespaces } from "../discover/user_namespaces.ts";

/** Which namespaces, and how to look for them. */
export interface SurveyOptions {
  readonly way: Way;
  /** Only those that one of these kinds holds; all of them when there is none. */
  readonly kinds: readonly HolderKind[];
  /** And nothing of another kind. */
  readonly only: boolean;
  /** Whether to look at what is inside, which takes a visit to each. */
  readonly links: boolean;
  /** Whether to find out how user namespaces lie below each other. */
  readonly tree: boolean;
  /** Whether to remember where things lie in this kernel; see `kernelLayout()`. */
  readonly useCache: boolean;
}

/** A namespace with what it takes more than a look to learn. */
export interface Surveyed {
  readonly netns: Netns;
  /** The inode of the user namespace that owns it; undefined when that is out of sight. */
  readonly owner: number | undefined;
  /** The number that the namespace that belay runs in has for it. */
  readonly nsid: number | undefined;
  /** Its links' names; undefined when nobody could look. */
  readonly links: readonly string[] | undefined;
}

/** What `belay netns list` has found. */
export interface Survey {
  readonly discovery: Discovery;
  /** By inode. */
  readonly namespaces: readonly Surveyed[];
  /** With `tree`: the user namespaces that own them, and those above. */
  readonly users: UserNamespaces;
  /** The namespace that belay runs in. */
  readonly own: number;
  /** What could not be seen, for people. */
  readonly unseen: readonly string[];
}

/** Finds namespaces and asks each what it is. One that was gone when it was asked is left out. */
export function survey(carriers: Carriers, options: SurveyOptions): Survey {
  const { thread } = carriers;
  const self = thread.call(getpid());
  const own = inodeOf(thread, "/proc/thread-self/ns/net");
  const discovery = discover(thread, self, options.way, options.useCache);
  using links = options.links ? new LinkReader(carriers) : undefined;
  const look = new Look(thread, links, options.tree, own);
  const namespaces = [...discovery.namespaces.values()]
    .filter((netns) => wanted(netns, options))
    .sort((a, b) => a.inode - b.inode)
    .flatMap((netns) => look.at(netns));
  const unseen = [...discovery.unseen];
  if (look.closed > 0) unseen.push(`what is inside of ${look.closed} network namespaces`);
  return { discovery, namespaces, users: look.users, own, unseen };
}

function wanted(netns: Netns, { kinds, only }: SurveyOptions): boolean {
  if (kinds.length === 0) return true;
  const held = kindsOf(netns);
  return kinds.some((kind) => held.has(kind)) &&
    (!only || [...held].every((kind) => kinds.includes(kind)));
}

/** What a look at everything has not told is asked of each namespace itself, through somebody who holds it. */
class Look {
  readonly users: UserNamespaces = new Map();
  closed = 0;

  constructor(
    private readonly thread: Kernel,
    private readonly links: LinkReader | undefined,
    private readonly tree: boolean,
    private readonly own: number,
  ) {}

  at(netns: Netns): Surveyed[] {
    const owner = netns.owner === 0 ? undefined : netns.owner;
    const inside = this.links?.throughProcess(netns);
    const needed = owner === undefined || this.tree && !this.users.has(owner) ||
      this.links !== undefined && inside === undefined;
    return needed ? this.#opened(netns, owner, inside) : [surveyed(netns, owner, inside)];
  }

  #opened(
    netns: Netns,
    owner: number | undefined,
    inside: readonly string[] | undefined,
  ): Surveyed[] {
    const opened = openNetns(this.thread, netns, netns.inode === this.own);
    if (opened === "gone") return [];
    if ("error" in opened) {
      this.closed++;
      return [surveyed(netns, owner, inside)];
    }
    try {
      const links = inside ?? this.links?.entering(opened.fd);
      if (links === undefined && this.links !== undefined) this.closed++;
      const asked = ownerOf(this.thread, opened.fd, this.tree ? this.users : undefined);
      return [surveyed(netns, owner ?? asked, links)];
    } finally {
      this.thread.call(close(opened.fd));
    }
  }
}

function surveyed(
  netns: Netns,
  owner: number | undefined,
  links: readonly string[] | undefined,
): Surveyed {
  return { netns, owner, links, nsid: undefined };
}

function inodeOf(thread: Kernel, path: string): number {
  return Number(thread.call(statx(AT_FDCWD, path, 0)).ino);
}
