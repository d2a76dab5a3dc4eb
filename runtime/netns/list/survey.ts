import type { Kernel } from "../../../ffi/kernel.ts";
import type { Carriers } from "../../../ffi/remote.ts";
import { AT_FDCWD } from "../../../ffi/abi/file_flags.ts";
import { close, statx } from "../../../ffi/syscalls/file.ts";
import { getpid } from "../../../ffi/syscalls/process.ts";
import { discover, type Discovery, type Netns, type Way } from "../discover/discover.ts";
import { type HolderKind, kindsOf } from "../discover/holder.ts";
import { LinkReader } from "../discover/links_inside.ts";
import type { NsidReader } from "../discover/nsids.ts";
import { openNetns } from "../discover/open_netns.ts";
import { ownerOf, type UserNamespaces } from "../discover/user_namespaces.ts";

/** Which namespaces, and how to look for them. */
export interface SurveyOptions {
  readonly way: Way;
  /** Only those that one of these kinds holds; all of them when there is none. */
  readonly kinds: readonly HolderKind[];
  /** And nothing of another kind. */
  readonly only: boolean;
  /** Whether to learn their owners, nsids and the links inside, which takes a visit to each. */
  readonly long: boolean;
  /** Whether to find out how user namespaces lie below each other. */
  readonly tree: boolean;
  /** Whether to remember where things lie in this kernel; see `kernelLayout()`. */
  readonly useCache: boolean;
}

/** A namespace with what it takes more than a look to learn. */
export interface Surveyed {
  readonly netns: Netns;
  /** The inode of the user namespace that owns it; undefined when nobody asked, or it is out of sight. */
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
export async function survey(carriers: Carriers, options: SurveyOptions): Promise<Survey> {
  const { thread } = carriers;
  const self = thread.call(getpid());
  const own = inodeOf(thread, "/proc/thread-self/ns/net");
  const discovery = discover(thread, self, options.way, options.useCache);
  using links = options.long ? new LinkReader(carriers) : undefined;
  using nsids = options.long
    ? (await import("../discover/nsids.ts")).NsidReader.open(thread)
    : undefined;
  const look = new Look(thread, { links, nsids, tree: options.tree, own });
  const namespaces = [...discovery.namespaces.values()]
    .filter((netns) => wanted(netns, options))
    .sort((a, b) => a.inode - b.inode)
    .flatMap((netns) => look.at(netns));
  const unseen = [...discovery.unseen];
  if (look.closed > 0) unseen.push(`what is inside of ${look.closed} network namespaces`);
  const ownerless = !options.long && !options.tree
    ? 0
    : namespaces.filter(({ owner }) => owner === undefined).length;
  if (ownerless > 0) unseen.push(`who owns ${ownerless} network namespaces`);
  return { discovery, namespaces, users: look.users, own, unseen };
}

function wanted(netns: Netns, { kinds, only }: SurveyOptions): boolean {
  if (kinds.length === 0) return true;
  const held = kindsOf(netns);
  return kinds.some((kind) => held.has(kind)) &&
    (!only || [...held].every((kind) => kinds.includes(kind)));
}

/** What is to be learnt of each. */
interface Wanted {
  readonly links: LinkReader | undefined;
  readonly nsids: NsidReader | undefined;
  readonly tree: boolean;
  readonly own: number;
}

/** What a look at everything has not told is asked of each namespace itself, through somebody who holds it. */
class Look {
  readonly users: UserNamespaces = new Map();
  closed = 0;

  constructor(private readonly thread: Kernel, private readonly wanted: Wanted) {}

  at(netns: Netns): Surveyed[] {
    const { links, nsids, tree } = this.wanted;
    const owner = netns.owner === 0 ? undefined : netns.owner;
    const inside = links?.throughProcess(netns);
    const needed = (tree || links !== undefined) && owner === undefined ||
      tree && owner !== undefined && !this.users.has(owner) ||
      nsids !== undefined || links !== undefined && inside === undefined;
    if (needed) return this.#opened(netns, owner, inside);
    return [{ netns, owner, links: inside, nsid: undefined }];
  }

  #opened(
    netns: Netns,
    owner: number | undefined,
    inside: readonly string[] | undefined,
  ): Surveyed[] {
    const { links, nsids, tree, own } = this.wanted;
    const opened = openNetns(this.thread, netns, netns.inode === own);
    if (opened === "gone") return [];
    if ("error" in opened) {
      this.closed++;
      return [{ netns, owner, links: inside, nsid: undefined }];
    }
    try {
      const found = inside ?? links?.entering(opened.fd);
      if (found === undefined && links !== undefined) this.closed++;
      const asked = ownerOf(this.thread, opened.fd, tree ? this.users : undefined);
      return [{ netns, owner: owner ?? asked, links: found, nsid: nsids?.of(opened.fd) }];
    } finally {
      this.thread.call(close(opened.fd));
    }
  }
}

function inodeOf(thread: Kernel, path: string): number {
  return Number(thread.call(statx(AT_FDCWD, path, 0)).ino);
}
