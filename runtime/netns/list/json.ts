import { type Holder, holdersOf } from "../discover/holder.ts";
import type { Survey } from "./survey.ts";

/** A network namespace, as `belay netns list --json` tells it. */
export interface NetnsReport {
  /** Its inode, as in /proc/PID/ns/net. */
  readonly netns: number;
  /** The inode of the user namespace that owns it; null when that is out of sight. */
  readonly owner: number | null;
  /** What the namespace that belay runs in calls it; null when it has no number there. */
  readonly nsid: number | null;
  /** Whether belay itself runs in it. */
  readonly own: boolean;
  /** The names of the links inside; null when nobody could look. */
  readonly links: readonly string[] | null;
  readonly holders: readonly Holder[];
}

/** The array that `--json` prints. */
export function netnsReports({ namespaces, discovery, own }: Survey): NetnsReport[] {
  return namespaces.map(({ netns, owner, nsid, links }) => ({
    netns: netns.inode,
    owner: owner ?? null,
    nsid: nsid ?? null,
    own: netns.inode === own,
    links: links ?? null,
    holders: holdersOf(netns, discovery),
  }));
}
