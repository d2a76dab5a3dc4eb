// unix.stackexchange: a network namespace with no process in it, no name and no descriptor lived on because of one
// NETLINK socket, and nothing could say whose.
import { mustRun } from "../../../scripts/step.ts";
import { call } from "../../../ffi/call.ts";
import { Host } from "../../../ffi/host.ts";
import { AT_FDCWD, O } from "../../../ffi/abi/file_flags.ts";
import { CLONE } from "../../../ffi/abi/process_flags.ts";
import { close, openat, statx } from "../../../ffi/syscalls/file.ts";
import { setns, unshare } from "../../../ffi/syscalls/namespace.ts";
import type { Holder } from "../../../runtime/netns/discover/holder.ts";
import type { NetnsReport } from "../../../runtime/netns/list/json.ts";
import type { Finding, Job, World } from "../job.ts";

const ROUNDS = 5;
const NET = "/proc/thread-self/ns/net";
const [AF_NETLINK, SOCK_RAW] = [16, 3];
/** How long the kernel may take to end a namespace that nobody holds. */
const PATIENCE_MS = 10_000;

/** How many of these miss it: `ip netns`, `lsns`, and a search through every /proc/PID/ns and /proc/PID/fd. */
async function naive(inode: number): Promise<number> {
  const listed = [
    await mustRun(["ip", "netns", "list-id"]) + await mustRun(["ip", "netns"]),
    await mustRun(["lsns", "--type", "net", "--output", "NS"]),
    await mustRun(["sh", "-c", "ls -l /proc/[0-9]*/ns /proc/[0-9]*/fd 2>/dev/null; true"]),
  ];
  return listed.every((text) => !text.includes(String(inode))) ? 1 : 0;
}

async function belays(belay: readonly string[], inode: number): Promise<readonly Holder[]> {
  const all: NetnsReport[] = JSON.parse(await mustRun([...belay, "netns", "list", "--json"]));
  return all.find(({ netns }) => netns === inode)?.holders ?? [];
}

/** Whether a link ends within the time: with the namespace that its peer is in. */
async function ends(link: string): Promise<boolean> {
  for (const deadline = Date.now() + PATIENCE_MS; Date.now() < deadline;) {
    const ip = new Deno.Command("ip", { args: ["link", "show", link], stdin: "null" });
    if (!(await ip.output()).success) return true;
  }
  return false;
}

async function heldByASocket({ belay, say }: World): Promise<Finding[]> {
  const host = new Host("/tmp");
  let [missed, unnamed, wrong, stayed] = [0, 0, 0, 0];
  for (let round = 0; round < ROUNDS; round++) {
    const link = `s3-${round}`;
    using stub = host.spawn("holder");
    const { pid } = stub.pidfd;
    const home = stub.call(openat(AT_FDCWD, NET, O.O_RDONLY));
    stub.call(unshare(CLONE.CLONE_NEWNET));
    await mustRun([
      "ip",
      "link",
      "add",
      link,
      "type",
      "veth",
      "peer",
      "name",
      "p",
      "netns",
      `${pid}`,
    ]);
    const inode = Number(stub.call(statx(AT_FDCWD, NET, 0)).ino);
    const socket = stub.call(call("socket", AF_NETLINK, SOCK_RAW, 0));
    stub.batch([setns(home, CLONE.CLONE_NEWNET), close(home)]);
    missed += await naive(inode);
    const [holder, ...others] = await belays(belay, inode);
    if (holder === undefined) unnamed++;
    const right = holder?.kind === "socket" && holder.pid === pid && holder.fd === socket &&
      holder.protocol === "NETLINK_ROUTE" && others.length === 0 &&
      Deno.readLinkSync(`/proc/${pid}/fd/${socket}`) === `socket:[${holder.inode}]`;
    if (!right) wrong++;
    if (round === 0 && holder !== undefined) {
      say(
        `net:[${inode}]: ip netns, lsns and /proc/*/{ns,fd} do not see it; belay netns list: ` +
          `socket ${holder.protocol} ${holder.inode}, fd ${holder.fd} of process ${holder.pid}`,
      );
    }
    stub.call(close(socket));
    if (!await ends(link)) stayed++;
    stub[Symbol.dispose]();
    stub.pidfd.reap();
    stub.pidfd[Symbol.dispose]();
  }
  return [
    { what: "namespaces that were not found", rounds: ROUNDS, naive: missed, belay: unnamed },
    { what: "holders named wrongly", rounds: ROUNDS, belay: wrong },
    { what: "namespaces that lived on when the socket was closed", rounds: ROUNDS, belay: stayed },
  ];
}

/** S3. */
export const job: Job = {
  name: "s3",
  bug: "one socket keeps a network namespace, and nothing says which (unix.stackexchange)",
  needs: { iproute2: "makes links, and lists namespaces" },
  run: heldByASocket,
};
