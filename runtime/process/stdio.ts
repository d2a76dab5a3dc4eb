import type { Kernel } from "../../ffi/kernel.ts";
import { post } from "../../ffi/deferring.ts";
import { attempt, type Call, tolerate } from "../../ffi/call.ts";
import { close, close_range, dup3, fchown, statx } from "../../ffi/syscalls/file.ts";
import { AT, CLOSE_RANGE_CLOEXEC, O } from "../../ffi/abi/file_flags.ts";
import { openInRoot } from "../rootfs/in_root.ts";

/** What of standard input, output and error must be changed for the container. */
export interface Stdio {
  /** Those that are the host's /dev/null: the container gets its own. */
  readonly devNull: readonly number[];
  /** Those whose owner becomes the container's user, so that it can open /dev/stdout by name. */
  readonly owned: readonly number[];
}

/** Looks at belay's own standard descriptors, which the container inherits. */
export function lookAtStdio(thread: Kernel, uid: number): Stdio {
  const stats = thread.batch([0, 1, 2].map((fd) => attempt(statx(fd, "", AT.AT_EMPTY_PATH))));
  const devNull: number[] = [];
  const owned: number[] = [];
  stats.forEach((stat, fd) => {
    if (stat instanceof Error) return; // closed by the caller: the container has none either
    if (stat.rdevMajor === 1 && stat.rdevMinor === 3) devNull.push(fd);
    else if (stat.uid !== uid) owned.push(fd);
  });
  return { devNull, owned };
}

/** Gives standard descriptors to the container's user, and its own /dev/null for the host's. */
export function adaptStdio(init: Kernel, root: number, stdio: Stdio, uid: number): void {
  post(
    init,
    stdio.owned.map((fd) =>
      tolerate(
        fchown(fd, uid, -1),
        ["EPERM", "EINVAL", "EROFS"],
        "a file that cannot change hands (of another user namespace, a read-only file system) still works by descriptor",
      )
    ),
  );
  if (stdio.devNull.length === 0) return;
  const opened = openInRoot(root, "/dev/null", O.O_RDWR | O.O_NOCTTY);
  const [fd, stat] = init.batch([attempt(opened), attempt(statx(opened, "", AT.AT_EMPTY_PATH))]);
  if (fd instanceof Error || stat instanceof Error) return; // no /dev/null inside: the host's stays
  const isNull = stat.rdevMajor === 1 && stat.rdevMinor === 3;
  post(init, [...(isNull ? stdio.devNull.map((each) => dup3(fd, each)) : []), close(fd)]);
}

/** Marks everything but stdio and `preserve` descriptors beyond it close-on-exec. */
export function closeOnExec(preserve: number): Call<unknown> {
  return tolerate(
    close_range(3 + preserve, 0xffffffff, CLOSE_RANGE_CLOEXEC),
    ["ENOSYS", "EINVAL"],
    "before 5.9 or 5.11; every descriptor of ours is close-on-exec from birth",
  );
}
