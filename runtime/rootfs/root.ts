import type { Kernel } from "../../ffi/kernel.ts";
import { post } from "../../ffi/deferring.ts";
import { attempt, type Fd } from "../../ffi/call.ts";
import { chdir, close, fchdir, openat } from "../../ffi/syscalls/file.ts";
import {
  chroot,
  MNT_DETACH,
  mount,
  mount_setattr,
  move_mount,
  pivot_root,
  umount2,
} from "../../ffi/syscalls/mount.ts";
import { AT_FDCWD, O } from "../../ffi/abi/file_flags.ts";
import * as MNT from "../../ffi/abi/mount_flags.ts";
import { readFile } from "../../ffi/files.ts";
import { changeAttributes, cloneTree } from "./place_mount.ts";
import { PROPAGATION } from "../spec/mount_options.ts";

/**
 * Cuts the mount namespace's propagation as `linux.rootfsPropagation` says (slave when it says nothing), and attaches
 * a copy of the root directory's mounts on top of the old root, where pivot_root can take it from. The old root stays
 * what "/" means to this process until then: paths of the host still work.
 * @param visible Hooks are to find the container's mounts below the root directory's own path, where runc has them
 * (NVIDIA's adds some): it is attached there, unless that would show on the host (a shared mount) or the way there is
 * closed to this process (in a user namespace).
 * @param tree The copy, when the stub before the user namespace had to make it.
 * @returns The new root's descriptor.
 */
export function attachRoot(
  kernel: Kernel,
  rootfs: string,
  propagation: string | undefined,
  visible: boolean,
  tree?: number,
): number {
  const wanted = PROPAGATION[propagation ?? "rslave"] ?? MNT.MS_SLAVE | MNT.MS_REC;
  // What is unbindable cannot be copied: private now, unbindable at the end (`sealRoot`).
  const cut = wanted & MNT.MS_UNBINDABLE ? MNT.MS_PRIVATE | MNT.MS_REC : wanted;
  const made = cloneTree(rootfs, true);
  // "shared" is about the mounts bound into the container, which stay with their peers, and at the end about the new
  // root (`shareRoot`). The root itself is cut off from its peers at once, also where the rest is not: nothing of the
  // set-up may be seen elsewhere, and pivot_root(2) takes no shared mounts.
  const isShared = (cut & MNT.MS_SHARED) !== 0;
  const isCut = !isShared && (cut & MNT.MS_REC) !== 0;
  const calls = [
    mount(0, "/", 0, cut),
    ...(isShared ? [mount(0, "/", 0, MNT.MS_PRIVATE)] : []),
  ];
  const ownCut = MNT.MS_REC | (isShared ? MNT.MS_PRIVATE : cut);
  const alone = (root: Fd) => isCut ? [] : [fchdir(root), mount(0, ".", 0, ownCut)];
  if (visible && isCut) {
    kernel.batch(calls);
    const root = tree ?? kernel.call(made);
    const attached = kernel.call(attempt(move_mount(root, "", AT_FDCWD, rootfs)));
    if (!(attached instanceof Error)) return root;
    if (!attached.is("EACCES", "EPERM", "ENOENT")) throw attached;
    kernel.call(move_mount(root, "", AT_FDCWD, "/"));
    return root;
  }
  if (tree !== undefined) {
    kernel.batch([...calls, move_mount(tree, "", AT_FDCWD, "/"), ...alone(tree)]);
    return tree;
  }
  const attached = [move_mount(made, "", AT_FDCWD, "/"), ...alone(made)];
  return kernel.batch([...calls, made, ...attached])[calls.length] as number;
}

/** What the new root is at the end: read-only, and of the propagation asked for, but for "shared". */
export function sealRoot(
  kernel: Kernel,
  root: number,
  readonly: boolean,
  propagation: string | undefined,
): void {
  const flags = propagation === undefined ? 0 : PROPAGATION[propagation] ?? 0;
  const set = readonly ? MNT.MOUNT_ATTR_RDONLY : 0;
  if (set !== 0) {
    post(kernel, [mount_setattr(root, { set }, false)], (error, direct) => {
      if (!error.is("ENOSYS")) throw error;
      changeAttributes(direct, root, { set, recursive: false });
      return "done";
    });
  }
  const isShared = (flags & MNT.MS_SHARED) !== 0;
  if (flags !== 0 && !isShared) post(kernel, [fchdir(root), mount(0, ".", 0, flags)]);
}

/**
 * Puts the new root into a peer group of its own (config-linux.md, "Rootfs Mount Propagation": not the host's), once
 * it is the process's root.
 */
export function shareRoot(kernel: Kernel, propagation: string | undefined): void {
  const flags = propagation === undefined ? 0 : PROPAGATION[propagation] ?? 0;
  if (flags & MNT.MS_SHARED) post(kernel, [mount(0, "/", 0, flags)]);
}

/** Makes the new root the only one: the old one and all that hung below it is gone from this namespace. */
export function pivot(kernel: Kernel, root: number): void {
  const old = openat(AT_FDCWD, "/", O.O_PATH | O.O_DIRECTORY);
  post(kernel, [
    old,
    fchdir(root),
    pivot_root(".", "."),
    fchdir(old),
    // Taking the old mounts off must not take them off where they came from.
    mount(0, ".", 0, MNT.MS_SLAVE | MNT.MS_REC),
    umount2(".", MNT_DETACH),
    chdir("/"),
    close(old),
    close(root),
  ]);
}

/**
 * `--no-pivot`, for a host whose root is the initial ramdisk, which pivot_root(2) cannot replace: takes every other
 * mount of the host off, so that no way leads back to them, and changes the root by chroot(2) alone.
 */
export function chrootOnly(kernel: Kernel, root: number, rootfs: string): void {
  const text = readFile(kernel, AT_FDCWD, "/proc/self/mountinfo");
  const points = text.split("\n").flatMap((line) => line.split(" ")[4] ?? [])
    .map((point) =>
      point.replace(/\\(\d{3})/g, (_, octal) => String.fromCharCode(parseInt(octal, 8)))
    )
    .filter((point) => point !== "/" && !`${rootfs}/`.startsWith(`${point}/`));
  kernel.batch(points.reverse().map((point) => attempt(umount2(point, MNT_DETACH))));
  enterRoot(kernel, root);
}

/** Changes the root of this process alone. What else the mount namespace has can be reached with CAP_SYS_CHROOT. */
export function enterRoot(kernel: Kernel, root: number): void {
  post(kernel, [fchdir(root), chroot("."), chdir("/"), close(root)]);
}
