import type { Remote } from "../../ffi/remote.ts";
import type { Call } from "../../ffi/call.ts";
import { close, dup3, fchown, fstatfs, statx } from "../../ffi/syscalls/file.ts";
import {
  becomeControllingTerminal,
  openPeer,
  setWindowSize,
  unlockPty,
} from "../../ffi/syscalls/tty.ts";
import { AT, FS_MAGIC, O, S_IF } from "../../ffi/abi/file_flags.ts";
import { SyscallError } from "../../ffi/syscall_error.ts";
import { CommandError } from "../cli/command_error.ts";
import { makeCalls, openInRoot } from "../rootfs/in_root.ts";
import { attach, cloneTree } from "../rootfs/place_mount.ts";
import type { Process } from "../spec/types.ts";

/**
 * Makes the terminal of the container's process, from the container's own devpts: standard input, output and error,
 * the controlling terminal of its session, and /dev/console where that is asked for. What is found at /dev/pts/ptmx must be on a devpts, and
 * the other end is opened by the master alone and not by a name (CVE-2025-52565).
 * @param atConsole Whether it becomes /dev/console: that of the first process does.
 * @returns The master's descriptor, in this process.
 */
export function makeTerminal(
  init: Remote,
  root: number,
  process: Pick<Process, "consoleSize" | "user">,
  atConsole: boolean,
): number {
  try {
    const master = openMaster(init, root);
    const [, peer] = init.batch([unlockPty(master), openPeer(master)]);
    const { consoleSize, user } = process;
    init.batch([
      ...(consoleSize === undefined
        ? []
        : [setWindowSize(master, { rows: consoleSize.height, columns: consoleSize.width })]),
      fchown(peer, user.uid, -1),
      ...(atConsole ? bindToConsole(init, root, peer) : []),
      becomeControllingTerminal(peer),
      ...[0, 1, 2].map((fd) => dup3(peer, fd)),
      close(peer),
    ]);
    const [taken] = init.take([master]);
    init.call(close(master));
    if (taken === undefined) throw new Error("the terminal's master did not arrive");
    return taken;
  } catch (cause) {
    if (!(cause instanceof SyscallError)) throw cause;
    throw new CommandError("process.terminal: cannot make the container's terminal", { cause });
  }
}

function bindToConsole(init: Remote, root: number, peer: number): Call<unknown>[] {
  const place = placeOfConsole(init, root);
  const tree = cloneTree("", false, peer);
  return [tree, attach(tree, place), close(tree), close(place)];
}

/** The file that the terminal is bound to; a link there would choose where, /proc for example (CVE-2025-52565). */
function placeOfConsole(init: Remote, root: number): number {
  init.batch(makeCalls(root, "/dev/console", "file"));
  const opened = openInRoot(root, "/dev/console", O.O_PATH | O.O_NOFOLLOW);
  const [place, { mode }] = init.batch([opened, statx(opened, "", AT.AT_EMPTY_PATH)]);
  if ((mode & S_IF.S_IFMT) !== S_IF.S_IFLNK) return place;
  throw new CommandError("process.terminal: /dev/console of the image is a symbolic link");
}

function openMaster(init: Remote, root: number): number {
  const opened = openInRoot(root, "/dev/pts/ptmx", O.O_RDWR | O.O_NOCTTY);
  const [master, { type }] = init.batch([opened, fstatfs(opened)]);
  if (type === FS_MAGIC.DEVPTS_SUPER_MAGIC) return master;
  throw new CommandError(
    "process.terminal: /dev/pts/ptmx is not on a devpts; mounts must have one at /dev/pts",
  );
}
