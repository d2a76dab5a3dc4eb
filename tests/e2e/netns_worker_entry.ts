// A program that is built as belay is, to see a NetnsWorker at work in a bundle: netns_worker_test.ts runs it.
import { Host } from "../../ffi/host.ts";
import { readlinkat } from "../../ffi/syscalls/file.ts";
import { AT_FDCWD } from "../../ffi/abi/file_flags.ts";
import { printVersion } from "../../runtime/cli/version.ts";

const LINK = "/proc/thread-self/ns/net";

async function report(): Promise<void> {
  const { NetnsWorker } = await import("../../runtime/netns/netns_worker.ts");
  const { NetlinkSocket } = await import("../../ffi/netlink/socket.ts");
  const { getLinks, newVeth, parseLink } = await import("../../ffi/netlink/link.ts");
  const { thread } = new Host("/tmp");
  const own = thread.call(readlinkat(AT_FDCWD, LINK));
  await using worker = await NetnsWorker.enter(thread, "new");
  using socket = NetlinkSocket.open(worker);
  socket.do(newVeth("v0", "v1"));
  console.log(JSON.stringify({
    own,
    afterwards: thread.call(readlinkat(AT_FDCWD, LINK)),
    inode: worker.inode,
    there: worker.call(readlinkat(AT_FDCWD, LINK)),
    links: socket.dump(getLinks()).map((each) => parseLink(each).name).sort(),
  }));
}

/** 0; `--version` is what the build itself asks. */
async function main(): Promise<number> {
  if (Deno.args[0] === "--version") return await printVersion();
  await report();
  return 0;
}

if (import.meta.main) queueMicrotask(async () => Deno.exit(await main()));
