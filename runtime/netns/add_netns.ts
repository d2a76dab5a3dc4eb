import type { Carriers } from "../../ffi/remote.ts";
import { NetNamespaceMaker } from "../../ffi/net_namespace.ts";
import { close, statx } from "../../ffi/syscalls/file.ts";
import { AT } from "../../ffi/abi/file_flags.ts";
import { describeError } from "../cli/describe_error.ts";
import type { Logger } from "../log/logger.ts";
import { NETNS_DIR, NetnsDirectory } from "./netns_directory.ts";
import { publishNetns } from "./publish_netns.ts";
import { removeEntry } from "./remove_netns.ts";
import { makeVeth, type Veth } from "./veth.ts";

/** A network namespace with a name, as programs are told of it. */
export interface NamedNetns {
  readonly name: string;
  /** The namespace's inode: what `readlink /proc/PID/ns/net` shows. */
  readonly netns: number;
  readonly path: string;
  /** The names of its link's two ends, with `--veth`. */
  readonly veth?: { readonly host: string; readonly inside: string };
}

/** A network namespace that is wanted. */
export interface WantedNetns {
  readonly name: string;
  readonly veth?: Veth;
}

/** As many are made before they are given names: while the lock is held nothing waits for the network stack. */
const AT_ONCE = 50;

/**
 * Makes network namespaces and gives them names: all of them, or none.
 * @throws CommandError when a name is taken, SyscallError.
 */
export function addNetns(
  carriers: Carriers,
  wanted: readonly WantedNetns[],
  log: Logger,
): NamedNetns[] {
  const added: NamedNetns[] = [];
  try {
    using maker = new NetNamespaceMaker(carriers);
    for (let at = 0; at < wanted.length; at += AT_ONCE) {
      addSome(carriers, maker, wanted.slice(at, at + AT_ONCE), added);
    }
    return added;
  } catch (error) {
    takeBack(carriers, added, log);
    throw error;
  }
}

function addSome(
  { thread }: Carriers,
  maker: NetNamespaceMaker,
  wanted: readonly WantedNetns[],
  added: NamedNetns[],
): void {
  const made: number[] = [];
  try {
    for (const { veth } of wanted) {
      const fd = maker.make();
      made.push(fd);
      if (veth !== undefined) makeVeth(thread, maker.inside, fd, veth);
    }
    const stats = thread.batch(made.map((fd) => statx(fd, "", AT.AT_EMPTY_PATH)));
    using directory = NetnsDirectory.prepared(thread);
    for (const [i, { name, veth }] of wanted.entries()) {
      publishNetns(thread, directory, name, made[i] ?? -1);
      added.push({
        ...{ name, netns: Number(stats[i]?.ino), path: `${NETNS_DIR}/${name}` },
        ...(veth === undefined ? {} : { veth: { host: veth.host, inside: veth.inside } }),
      });
    }
  } finally {
    for (const fd of made) thread.call(close(fd));
  }
}

/** After a failure: those that were added have the names that nobody was told of. */
function takeBack({ thread }: Carriers, added: readonly NamedNetns[], log: Logger): void {
  if (added.length === 0) return;
  try {
    using directory = NetnsDirectory.locked(thread);
    for (const { name, netns } of added) removeEntry(thread, directory, name, BigInt(netns));
  } catch (error) {
    log.warn(describeError(error)); // what is thrown is the failure that came first
  }
}
