import type { Carriers, Remote } from "../../ffi/remote.ts";
import { close, openat, write } from "../../ffi/syscalls/file.ts";
import { setns, unshare } from "../../ffi/syscalls/namespace.ts";
import { mount_setattr } from "../../ffi/syscalls/mount.ts";
import { AT_FDCWD, O } from "../../ffi/abi/file_flags.ts";
import { CLONE } from "../../ffi/abi/process_flags.ts";
import { MS_SLAVE } from "../../ffi/abi/mount_flags.ts";
import { isSyscallError, SyscallError } from "../../ffi/syscall_error.ts";
import { UserNamespaces } from "../../ffi/user_namespace.ts";
import type { Spec } from "../spec/types.ts";
import { CommandError } from "../cli/command_error.ts";
import { attachForeignRoot, type ForeignRoot } from "../rootfs/foreign_mount.ts";
import { changeAttributes, cloneTree } from "../rootfs/place_mount.ts";
import type { PreparedMount } from "../rootfs/mounts.ts";
import { type Join, type NamespacePlan, timeOffsetLines } from "./namespaces.ts";

/** What of the host's file systems was opened before the host was out of reach. */
export interface Trees {
  readonly root?: number;
  readonly mounts: readonly PreparedMount[];
}

/**
 * Opens the root and the sources of bind mounts, for a container whose own processes may not reach them: as detached
 * trees that no longer send mounts to the host.
 */
export function openTrees(
  stub: Remote,
  rootfs: string,
  mounts: readonly PreparedMount[],
): Trees {
  const open = (path: string, recursive: boolean): number => {
    const tree = cloneTree(path, recursive);
    try {
      return stub.batch([tree, mount_setattr(tree, { propagation: MS_SLAVE }, true)])[0];
    } catch (error) {
      if (!isSyscallError(error, "ENOSYS")) throw error;
      // Before kernel 5.12, when the classic call still took a detached mount.
      const again = stub.call(cloneTree(path, recursive));
      changeAttributes(stub, again, { propagation: MS_SLAVE, recursive: true });
      return again;
    }
  };
  return {
    root: open(rootfs, true),
    mounts: mounts.map((prepared) => {
      const { mount } = prepared;
      if (!mount.parsed.bind) return prepared;
      return { ...prepared, tree: open(mount.source ?? "", mount.parsed.recursiveBind) };
    }),
  };
}

/**
 * Joins the namespaces that exist and makes those that clone3 cannot make for a child: the time namespace (its clocks
 * are set before anybody is in it) and the user namespace (its maps are written by the host).
 * @param privileged Whether belay is root on the host: then the user namespace comes last, because namespaces that
 * belong to others can still be joined until then; else it comes first, because it gives the right to join at all.
 * @param foreign The root, where the mount namespace belongs to somebody else.
 */
export function enterNamespaces(
  carriers: Carriers,
  stub: Remote,
  plan: NamespacePlan,
  spec: Spec,
  privileged: boolean,
  foreign?: ForeignRoot,
): void {
  if (!privileged) enterUser(carriers, stub, plan, spec);
  for (const join of plan.joins) enter(stub, join);
  if (foreign !== undefined) attachForeignRoot(carriers.thread, stub, foreign);
  if (plan.time !== undefined) {
    stub.call(unshare(CLONE.CLONE_NEWTIME));
    setClocks(stub, timeOffsetLines(plan.time));
  }
  if (privileged) enterUser(carriers, stub, plan, spec);
}

function setClocks(stub: Remote, lines: string): void {
  if (lines === "") return;
  const opened = openat(AT_FDCWD, "/proc/self/timens_offsets", O.O_WRONLY);
  try {
    stub.batch([opened, write(opened, lines), close(opened)]);
  } catch (cause) {
    if (!(cause instanceof SyscallError)) throw cause;
    const why = cause.is("ERANGE")
      ? ": a clock may neither go below 0 nor far beyond a century"
      : "";
    throw new CommandError(`linux.timeOffsets: cannot be set${why}`, { cause });
  }
}

function enter(stub: Remote, join: Join): void {
  try {
    const opened = openat(AT_FDCWD, join.path, O.O_RDONLY);
    stub.batch([opened, setns(opened, join.flag), close(opened)]);
  } catch (cause) {
    if (!(cause instanceof SyscallError)) throw cause;
    const wrongType = cause.syscall === "setns" && cause.is("EINVAL")
      ? " (is it a namespace of that type?)"
      : "";
    throw new CommandError(`${join.field}: cannot join ${join.path}${wrongType}`, { cause });
  }
}

function enterUser(
  carriers: Carriers,
  stub: Remote,
  plan: NamespacePlan,
  spec: Spec,
): void {
  if (plan.user === "none") return;
  if (plan.user !== "new") return enter(stub, plan.user);
  const { uidMappings, gidMappings } = spec.linux;
  using namespaces = new UserNamespaces(carriers.thread, stub);
  const fd = makeMapped(() => namespaces.getUsernsFd(uidMappings, gidMappings));
  try {
    const [there = -1] = stub.give([fd]);
    namespaces[Symbol.dispose](); // before the stub is in there
    stub.batch([setns(there, CLONE.CLONE_NEWUSER), close(there)]);
  } finally {
    carriers.thread.call(close(fd));
  }
}

function makeMapped(make: () => number): number {
  try {
    return make();
  } catch (cause) {
    if (!isSyscallError(cause, "EPERM", "EINVAL") || cause.syscall !== "write") throw cause;
    throw new CommandError(
      "linux.uidMappings, linux.gidMappings: the kernel refuses them (user_namespaces(7): without CAP_SETUID on the " +
        "host only one's own id can be mapped)",
      { cause },
    );
  }
}
