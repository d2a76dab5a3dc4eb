import type { Survey } from "./survey.ts";
import { heldBy } from "./table.ts";

/** What is remembered of a look: how each namespace reads. */
export type Remembered = ReadonlyMap<number, string>;

/** How each namespace reads, for the comparison with the next look. */
export function remember({ namespaces, discovery }: Survey): Remembered {
  return new Map(
    namespaces.map(({ netns }) => [netns.inode, heldBy(netns, discovery)]),
  );
}

/** What has changed between two looks: `+` came, `-` went, `~` is held by others now. */
export function changes(before: Remembered, now: Remembered): string[] {
  const lines: string[] = [];
  for (const [inode, text] of now) {
    const then = before.get(inode);
    if (then === undefined) lines.push(`+ ${inode}   ${text}`);
    else if (then !== text) lines.push(`~ ${inode}   ${text}`);
  }
  for (const [inode, text] of before) {
    if (!now.has(inode)) lines.push(`- ${inode}   ${text}`);
  }
  return lines;
}
