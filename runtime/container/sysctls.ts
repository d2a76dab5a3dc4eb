import type { Kernel } from "../../ffi/kernel.ts";
import { attempt } from "../../ffi/call.ts";
import { close, fstatfs, openat, openat2, write } from "../../ffi/syscalls/file.ts";
import { AT_FDCWD, FS_MAGIC, O, RESOLVE } from "../../ffi/abi/file_flags.ts";
import { SyscallError } from "../../ffi/syscall_error.ts";
import { CommandError } from "../cli/command_error.ts";
import { openInRoot } from "../rootfs/in_root.ts";
import type { Spec } from "../spec/types.ts";
import { sysctlPath } from "../spec/validate_sysctl.ts";
import { ValidationError } from "../spec/validation_error.ts";

/**
 * `linux.sysctl`, by the container's own /proc, or the host's where it has none. That it is a procfs is checked by
 * descriptor, and no link or mount is followed from there (CVE-2025-52881).
 */
export function setSysctls(init: Kernel, root: number, sysctl: Spec["linux"]["sysctl"]): void {
  const names = Object.keys(sysctl);
  if (names.length === 0) return;
  const sys = openProcSys(init, root);
  for (const name of names) {
    const opened = openat2(sys, sysctlPath(name), {
      flags: O.O_WRONLY,
      resolve: RESOLVE.RESOLVE_BENEATH | RESOLVE.RESOLVE_NO_SYMLINKS | RESOLVE.RESOLVE_NO_XDEV,
    });
    try {
      init.batch([opened, write(opened, sysctl[name] ?? ""), close(opened)]);
    } catch (cause) {
      if (!(cause instanceof SyscallError)) throw cause;
      const field = `linux.sysctl[${JSON.stringify(name)}]`;
      throw new ValidationError(field, `cannot be set to ${JSON.stringify(sysctl[name])}`, {
        cause,
      });
    }
  }
  init.call(close(sys));
}

function openProcSys(init: Kernel, root: number): number {
  const places = [
    openInRoot(root, "/proc/sys", O.O_PATH | O.O_DIRECTORY),
    openat(AT_FDCWD, "/proc/sys", O.O_PATH | O.O_DIRECTORY),
  ];
  for (const place of places) {
    const fd = init.call(attempt(place));
    if (fd instanceof Error) continue; // the container has no /proc
    if (init.call(fstatfs(fd)).type === FS_MAGIC.PROC_SUPER_MAGIC) return fd;
    init.call(close(fd));
  }
  throw new CommandError("linux.sysctl: neither the container nor the host has a procfs at /proc");
}
