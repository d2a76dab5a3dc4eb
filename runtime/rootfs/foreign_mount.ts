import type { Carriers } from "../../ffi/remote.ts";
import { tolerate } from "../../ffi/call.ts";
import { close, openat } from "../../ffi/syscalls/file.ts";
import { setns } from "../../ffi/syscalls/namespace.ts";
import { MNT_DETACH, umount2 } from "../../ffi/syscalls/mount.ts";
import { AT_FDCWD, O } from "../../ffi/abi/file_flags.ts";
import { CLONE } from "../../ffi/abi/process_flags.ts";
import { isSyscallError } from "../../ffi/syscall_error.ts";

/**
 * Takes a container's root off a mount namespace that belongs to somebody else. A namespace that is gone has taken it
 * along, a mount that is gone was taken off before: both are success.
 */
export function releaseMount(
  carriers: Carriers,
  { namespace, target }: { readonly namespace: string; readonly target: string },
): void {
  using stub = carriers.spawn("umount");
  using pidfd = stub.pidfd;
  try {
    const opened = openat(AT_FDCWD, namespace, O.O_RDONLY);
    stub.batch([
      opened,
      setns(opened, CLONE.CLONE_NEWNS),
      close(opened),
      tolerate(umount2(target, MNT_DETACH), ["EINVAL", "ENOENT"], "taken off before"),
    ]);
  } catch (error) {
    // The path is gone, or is no mount namespace any more: the namespace ended, or is out of anybody's reach.
    const gone = isSyscallError(error, "ENOENT", "EINVAL", "ESRCH");
    if (!gone) throw error;
  } finally {
    stub[Symbol.dispose]();
    pidfd.reap();
  }
}
