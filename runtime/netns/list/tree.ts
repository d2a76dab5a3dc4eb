import { printable } from "../../cli/printable.ts";
import type { Survey, Surveyed } from "./survey.ts";
import { heldBy } from "./table.ts";

/** What a user namespace has below it. */
interface Node {
  readonly children: number[];
  readonly owned: Surveyed[];
}

/**
 * The tree of user namespaces, with the network namespaces that each owns.
 * @param parents The parent of each user namespace; undefined for one whose parent is out of sight.
 */
export function netnsTree(
  survey: Survey,
  parents: ReadonlyMap<number, number | undefined>,
): string {
  const nodes = new Map<number, Node>();
  const node = (inode: number): Node => {
    let known = nodes.get(inode);
    if (known === undefined) nodes.set(inode, known = { children: [], owned: [] });
    return known;
  };
  const roots: number[] = [];
  for (const [inode, parent] of parents) {
    node(inode);
    if (parent === undefined) roots.push(inode);
    else node(parent).children.push(inode);
  }
  const orphans: Surveyed[] = [];
  for (const each of survey.namespaces) {
    if (each.owner === undefined) orphans.push(each);
    else {
      if (!parents.has(each.owner) && !nodes.has(each.owner)) roots.push(each.owner);
      node(each.owner).owned.push(each);
    }
  }
  const lines: string[] = [];
  const print = (inode: number, indent: string) => {
    const { children, owned } = node(inode);
    const entries = [...owned, ...children.sort((a, b) => a - b)];
    entries.forEach((entry, i) => {
      const last = i === entries.length - 1;
      const head = `${indent}${last ? "└─ " : "├─ "}`;
      if (typeof entry !== "number") lines.push(head + leaf(entry, survey));
      else {
        lines.push(`${head}user:[${entry}]`);
        print(entry, `${indent}${last ? "   " : "│  "}`);
      }
    });
  };
  for (const root of roots.sort((a, b) => a - b)) {
    lines.push(`user:[${root}]`);
    print(root, "");
  }
  if (orphans.length > 0) lines.push("user namespaces out of sight");
  orphans.forEach((each, i) =>
    lines.push((i === orphans.length - 1 ? "└─ " : "├─ ") + leaf(each, survey))
  );
  return lines.map((line) => `${line}\n`).join("");
}

function leaf(each: Surveyed, { own, discovery }: Survey): string {
  const { inode } = each.netns;
  const links = each.links === undefined || each.links.length === 0
    ? ""
    : `${printable(each.links.join(" "))}: `;
  return `net:[${inode}]${inode === own ? " *" : ""}  ${links}${heldBy(each.netns, discovery)}`;
}
