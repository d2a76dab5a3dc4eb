import type { Carriers } from "../../../ffi/remote.ts";
import { AT_FDCWD } from "../../../ffi/abi/file_flags.ts";
import { statx } from "../../../ffi/syscalls/file.ts";
import { getpid } from "../../../ffi/syscalls/process.ts";
import { discover } from "../discover/discover.ts";
import { NETNS_DIR } from "../netns_directory.ts";
import { repairNetns } from "../repair_netns.ts";
import { type Case, type FindingKind, GONE } from "./finding.ts";
import { examineHolders } from "./holders.ts";
import { examineLinks } from "./links.ts";
import { Taps } from "./taps.ts";
import { Visits } from "./visits.ts";

/** What was found. The cases' cures need what is open: they are for before it is disposed of. */
export interface Examination extends Disposable {
  readonly cases: readonly Case[];
  /** What could not be seen, for people. */
  readonly unseen: readonly string[];
}

/** Looks for leftovers of these kinds. */
export function examine(
  carriers: Carriers,
  kinds: ReadonlySet<FindingKind>,
  useCache: boolean,
): Examination {
  const { thread } = carriers;
  const self = thread.call(getpid());
  const own = Number(thread.call(statx(AT_FDCWD, "/proc/thread-self/ns/net", 0)).ino);
  const discovery = discover(thread, self, "auto", useCache);
  const namespaces = [...discovery.namespaces.values()];
  const unseen = [...discovery.unseen];
  const visits = new Visits(carriers, namespaces, own);
  try {
    const taps = new Taps(thread, namespaces);
    if (taps.unknown > 0) {
      unseen.push(`the devices behind ${taps.unknown} descriptors of /dev/net/tun`);
    }
    if (visits.closed > 0) unseen.push(`what is inside of ${visits.closed} network namespaces`);
    const cases = [
      ...files(carriers),
      ...visits.inodes().flatMap((inode) => examineLinks(visits, inode, taps)),
      ...examineHolders(thread, discovery, self),
    ].filter(({ finding }) => kinds.has(finding.kind));
    return { cases, unseen, [Symbol.dispose]: () => visits[Symbol.dispose]() };
  } catch (error) {
    visits[Symbol.dispose]();
    throw error;
  }
}

/** Names in /run/netns that lead to no namespace: `netns repair` knows which, and what may be done about them. */
function files({ thread }: Carriers): Case[] {
  return repairNetns(thread, new Date(), false, { look: true }).map(({ name, problem, why }) => ({
    finding: {
      ...{ kind: "file", netns: null, path: `${NETNS_DIR}/${name}` },
      what: `${NETNS_DIR}/${name}: ${problem}${why === undefined ? "" : `; ${why}`}`,
      certain: why === undefined,
      remedy: why === undefined ? `remove ${NETNS_DIR}/${name}` : null,
    },
    cure: () => {
      const [now] = repairNetns(thread, new Date(), false, { name });
      if (now === undefined) return GONE;
      if (now.repaired) return `removed ${NETNS_DIR}/${name}`;
      throw new Error(`${now.problem}; ${now.why}`);
    },
  }));
}
