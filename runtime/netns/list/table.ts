import { printable } from "../../cli/printable.ts";
import type { Discovery, Netns } from "../discover/discover.ts";
import { socketsOf } from "../discover/holder.ts";
import type { Survey, Surveyed } from "./survey.ts";

/** Holders of one kind that are named one by one. */
const NAMED = 3;
const GAP = 3;

/** The table for people; `long` with what a visit to each has told: nsid, owner, and the links inside. */
export function netnsTable({ namespaces, discovery, own }: Survey, long: boolean): string {
  const only = (cells: readonly string[]) => long ? cells : [];
  const rows = [
    ["NETNS", ...only(["NSID", "OWNER", "LINKS"]), "HELD BY"],
    ...namespaces.map((each) => [
      `${each.netns.inode}${each.netns.inode === own ? " *" : ""}`,
      ...only(long ? [String(each.nsid ?? "-"), String(each.owner ?? "?"), linksText(each)] : []),
      heldBy(each.netns, discovery),
    ]),
  ];
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)) + GAP
  );
  return rows.map((row) =>
    row.map((cell, i) => i === row.length - 1 ? cell : cell.padEnd(widths[i] ?? 0)).join("") + "\n"
  ).join("");
}

function linksText({ links }: Surveyed): string {
  if (links === undefined) return "?";
  return printable(links.slice(0, NAMED).join(" ")) +
    (links.length > NAMED ? ` +${links.length - NAMED}` : "");
}

/** Who holds a namespace, in one line. */
export function heldBy(netns: Netns, discovery: Pick<Discovery, "comm">): string {
  return printable(holdersText(netns, discovery));
}

function holdersText(netns: Netns, { comm }: Pick<Discovery, "comm">): string {
  const [first] = netns.threads;
  const others = netns.mounts.length + netns.descriptors.length + netns.sockets.length;
  if (
    first !== undefined && netns.threads.length === 1 && others === 0 && first.pid === first.tid
  ) {
    return `process ${first.comm} (${first.pid})`; // as most are
  }
  const parts: string[] = [];
  const processes = netns.threads.filter(({ pid, tid }) => pid === tid);
  const threads = netns.threads.filter(({ pid, tid }) => pid !== tid);
  add(parts, "process", "processes", processes, ({ pid, comm }) => `${comm} (${pid})`);
  add(
    parts,
    "thread",
    "threads",
    threads,
    ({ pid, tid, comm: own }) => `${own} (${tid} of ${comm(pid)} ${pid})`,
  );
  add(
    parts,
    "mount",
    "mounts",
    netns.mounts,
    ({ path, through }) => `${path} (seen by ${through.comm} ${through.pid})`,
  );
  for (const kind of ["nsfs", "tun"] as const) {
    const name = kind === "nsfs" ? "descriptor" : "tun descriptor";
    const held = netns.descriptors.filter((each) => each.kind === kind);
    add(parts, name, `${name}s`, held, ({ pid, fd }) => `fd ${fd} of ${comm(pid)} (${pid})`);
  }
  const count = netns.sockets.reduce((sum, run) => sum + run.count, 0);
  if (count > NAMED) {
    const holders = new Set(netns.sockets.map(({ pid }) => pid));
    const named = [...holders].slice(0, NAMED).map((pid) => `${comm(pid)} (${pid})`);
    parts.push(`${count} sockets: ${list(named, holders.size)}`);
  } else {
    const sockets = netns.sockets.flatMap((run) =>
      socketsOf(run).map((socket) => ({ ...socket, pid: run.pid }))
    );
    add(
      parts,
      "socket",
      "sockets",
      sockets,
      ({ pid, fd, protocol, inode }) => `${protocol} ${inode}, fd ${fd} of ${comm(pid)} (${pid})`,
    );
  }
  return parts.length === 0 ? "belay itself" : parts.join("; ");
}

function add<T>(
  parts: string[],
  one: string,
  several: string,
  holders: readonly T[],
  text: (holder: T) => string,
): void {
  if (holders.length === 0) return;
  const named = holders.slice(0, NAMED).map(text);
  parts.push(
    holders.length === 1
      ? `${one} ${named[0]}`
      : `${holders.length} ${several}: ${list(named, holders.length)}`,
  );
}

function list(named: readonly string[], count: number): string {
  return named.join(", ") + (count > named.length ? ", …" : "");
}
