import type { Carriers, Remote } from "./remote.ts";
import { close, openat, write } from "./syscalls/file.ts";
import { unshare } from "./syscalls/namespace.ts";
import { pidfd_send_signal } from "./syscalls/process.ts";
import { openNamespace } from "./process_namespaces.ts";
import { AT_FDCWD, O } from "./abi/file_flags.ts";
import { CLONE } from "./abi/process_flags.ts";

/** One line of /proc/PID/uid_map (user_namespaces(7)). */
export interface MappedRange {
  readonly containerID: number;
  readonly hostID: number;
  readonly size: number;
}

/** The text of a map file. */
export function mapText(ranges: readonly MappedRange[]): string {
  return ranges.map(({ containerID, hostID, size }) => `${containerID} ${hostID} ${size}\n`).join(
    "",
  );
}

/**
 * Makes a user namespace with these maps and returns a descriptor of it: the namespace lives as long as somebody holds
 * one. The process that it is made in never was anybody but ours: its files are opened by number, and only trusted
 * once its pidfd has told that it is alive (containerd #9218).
 * @param privileged Whether belay has CAP_SETGID on the host; without it the kernel wants setgroups(2) denied.
 * @throws SyscallError EPERM for maps that belay may not make.
 */
export function makeUserNamespace(
  carriers: Carriers,
  uidMappings: readonly MappedRange[],
  gidMappings: readonly MappedRange[],
  privileged: boolean,
): number {
  const { thread } = carriers;
  using stub = carriers.spawn("userns");
  using pidfd = stub.pidfd;
  let namespace: number | undefined;
  try {
    stub.call(unshare(CLONE.CLONE_NEWUSER));
    const open = (name: string) => openat(AT_FDCWD, `/proc/${pidfd.pid}/${name}`, O.O_WRONLY);
    const [setgroups, uidMap, gidMap] = [open("setgroups"), open("uid_map"), open("gid_map")];
    thread.batch([
      setgroups,
      uidMap,
      gidMap,
      pidfd_send_signal(pidfd.fd, 0),
      ...(privileged ? [] : [write(setgroups, "deny")]),
      write(uidMap, mapText(uidMappings)),
      write(gidMap, mapText(gidMappings)),
      close(setgroups),
      close(uidMap),
      close(gidMap),
    ]);
    namespace = openNamespace(thread, pidfd, "user");
    stub[Symbol.dispose]();
    pidfd.reap();
    return namespace;
  } catch (error) {
    if (namespace !== undefined) thread.call(close(namespace));
    end(stub);
    throw error;
  }
}

/** Ends the stub of a namespace that did not come to be. */
function end(stub: Remote): void {
  try {
    stub[Symbol.dispose]();
    stub.pidfd.reap();
  } catch {
    // The error that is told is the one that came first; a zombie stays at most until belay ends.
  }
}
