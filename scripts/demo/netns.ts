import { call } from "../../ffi/call.ts";
import { Host } from "../../ffi/host.ts";
import type { Remote } from "../../ffi/remote.ts";
import { AT_FDCWD, O } from "../../ffi/abi/file_flags.ts";
import { CLONE } from "../../ffi/abi/process_flags.ts";
import { close, openat, statx } from "../../ffi/syscalls/file.ts";
import { setns, unshare } from "../../ffi/syscalls/namespace.ts";
import { capture } from "../step.ts";
import type { Stage } from "./stage.ts";

const NET = "/proc/thread-self/ns/net";
const [AF_NETLINK, SOCK_RAW] = [16, 3];

/** Carriers whose image of the stub is open already, before anybody counts descriptors. */
export function warmHost(): Host {
  const host = new Host("/tmp");
  end(host.spawn("demo"));
  return host;
}

function end(stub: Remote): void {
  stub[Symbol.dispose]();
  stub.pidfd.reap();
  stub.pidfd[Symbol.dispose]();
}

/** A network namespace that one socket alone keeps: others do not see it, `belay netns list` tells whose it is. */
export async function showNetns(stage: Stage, host: Host): Promise<void> {
  const { screen } = stage;
  screen.chapter("Who keeps this network namespace?");
  screen.say(
    "A process enters a new network namespace, opens a NETLINK socket in it, and goes back. " +
      "Nobody is in that namespace now, it has no name, and nobody has a descriptor of it.",
  );
  const stub = host.spawn("demo");
  const { pid } = stub.pidfd;
  try {
    const home = stub.call(openat(AT_FDCWD, NET, O.O_RDONLY));
    stub.call(unshare(CLONE.CLONE_NEWNET));
    const inode = String(stub.call(statx(AT_FDCWD, NET, 0)).ino);
    const socket = stub.call(call("socket", AF_NETLINK, SOCK_RAW, 0));
    stub.batch([setns(home, CLONE.CLONE_NEWNET), close(home)]);
    const sees = async (script: string) => {
      const { stdout } = await capture(["sh", "-c", script]);
      const there = stdout.includes(inode);
      screen.command(`${script} | grep ${inode}`);
      screen.output(there ? "found" : "(nothing)");
      return there;
    };
    const lsns = await sees("lsns -t net");
    const proc = await sees("ls -l /proc/[0-9]*/ns /proc/[0-9]*/fd 2>/dev/null");
    const flags = ["--held-by=socket", "--only"];
    const { code, stdout } = await stage.quietly(stage.scratch, "netns", "list", ...flags);
    const lines = stdout.split("\n").filter((line, i) => i === 0 || line.startsWith(inode));
    screen.command(`belay netns list ${flags.join(" ")}`);
    screen.output(lines.join("\n"));
    stage.expect(
      !lsns && !proc && code === 0 && lines[1]?.includes(`(${pid})`) === true,
      "The kernel's own iterators see every descriptor of every process: the socket's protocol, " +
        "its number there, and whose it is.",
    );
    stub.call(close(socket));
    const after = await stage.quietly(stage.scratch, "netns", "list", "--json");
    const left = (JSON.parse(after.stdout) as { netns: number; holders: { pid: number }[] }[])
      .some(({ netns, holders }) =>
        `${netns}` === inode && holders.some((holder) => holder.pid === pid)
      );
    stage.expect(!left, "The socket is closed, and the namespace is gone.");
  } finally {
    end(stub);
  }
}
