import type { Kernel } from "../../ffi/kernel.ts";
import { type OnPostedFailure, post } from "../../ffi/deferring.ts";
import { type Call, type Fd, tolerate } from "../../ffi/call.ts";
import { close, mkdirat, mknodat, openat2, readlinkat, statx } from "../../ffi/syscalls/file.ts";
import { AT, O, RESOLVE, S_IF } from "../../ffi/abi/file_flags.ts";
import { isSyscallError, SyscallError } from "../../ffi/syscall_error.ts";
import { pathComponents } from "../spec/path_components.ts";

/**
 * Paths inside the container's root directory. The image is hostile: a path is only ever walked by openat2(2) with
 * RESOLVE_IN_ROOT, so that symbolic links, `..` and whatever is swapped meanwhile lead back into the root, and what was
 * found is used by descriptor alone (CVE-2021-30465, CVE-2025-31133 and their kin).
 *
 * @module
 */

/** Links that may follow one another, as in the kernel (MAXSYMLINKS). */
const MAXSYMLINKS = 40;
const THERE = "it is there already";

/** What is made at a path where there is nothing. */
export type Kind = "directory" | "file";

/** Opens a path inside the root, as a place only (O_PATH). */
export function openInRoot(root: Fd, path: string, flags: number = O.O_PATH): Call<number> {
  return openat2(root, pathComponents(path).join("/") || ".", {
    flags,
    resolve: RESOLVE.RESOLVE_IN_ROOT | RESOLVE.RESOLVE_NO_MAGICLINKS,
  });
}

/** The calls that make what is missing on the way to a path; they leave nothing open. */
export function makeCalls(root: Fd, path: string, kind: Kind): Call<unknown>[] {
  const parts = pathComponents(path);
  return parts.flatMap((part, depth) => {
    const last = depth === parts.length - 1;
    const make = (parent: Fd) =>
      tolerate(
        last && kind === "file"
          ? mknodat(parent, part, S_IF.S_IFREG | 0o644)
          : mkdirat(parent, part, 0o755),
        ["EEXIST"],
        THERE,
      );
    if (depth === 0) return [make(root)];
    const parent = openInRoot(root, parts.slice(0, depth).join("/"));
    return [parent, make(parent), close(parent)];
  });
}

/**
 * Makes what is missing of a path inside the root and opens it as a place.
 * @returns The descriptor, the caller's to close.
 */
export function makeInRoot(kernel: Kernel, root: number, path: string, kind: Kind): number {
  const attempt = () => {
    const opened = openInRoot(root, path);
    return kernel.batch([...makeCalls(root, path, kind), opened]).at(-1) as number;
  };
  try {
    return attempt();
  } catch (error) {
    if (!isSyscallError(error, "ENOENT")) throw error;
    makeBehindLinks(kernel, root, path, kind);
    return attempt();
  }
}

/**
 * Posts calls at a place inside the root, which is made where it is missing: one group, without a round trip where no
 * link dangles.
 * @param use The calls, for the place's descriptor, which is closed after them.
 * @param failed What becomes of a failure of theirs.
 * @param flags How the place is opened.
 */
export function atPlace(
  kernel: Kernel,
  root: number,
  path: string,
  kind: Kind,
  use: (place: Call<number>) => readonly Call<unknown>[],
  failed: OnPostedFailure,
  flags: number = O.O_PATH,
): void {
  const place = openInRoot(root, path, flags);
  let mended = false;
  post(
    kernel,
    [...makeCalls(root, path, kind), place, ...use(place), close(place)],
    (error, direct) => {
      // A link on the way points to something that does not exist yet (inside the root): make that, once.
      const missing = error.syscall === "openat2" && error.is("ENOENT");
      if (mended || !missing) return failed(error, direct);
      mended = true;
      try {
        makeBehindLinks(direct, root, path, kind);
      } catch (cause) {
        if (cause instanceof SyscallError) return failed(cause, direct);
        throw cause;
      }
      return "again";
    },
  );
}

/** Makes what dangling links on the way to a path, and at its end, point to. */
function makeBehindLinks(kernel: Kernel, root: number, path: string, kind: Kind): void {
  let waiting = pathComponents(path);
  let walked: string[] = [];
  for (let links = 0; waiting.length > 0;) {
    const next = waiting[0] ?? "";
    waiting = waiting.slice(1);
    if (next === "..") {
      walked.pop();
      continue;
    }
    const each = waiting.length === 0 ? kind : "directory";
    const target = linkTarget(kernel, root, [...walked, next].join("/"), each);
    if (target === undefined) {
      walked.push(next);
      continue;
    }
    if (++links > MAXSYMLINKS) throw new Error(`${path}: too many levels of symbolic links`);
    if (target.startsWith("/")) walked = [];
    waiting = [...target.split("/").filter((part) => part !== "" && part !== "."), ...waiting];
  }
}

/** Makes something where there is nothing; where a link points, undefined for what is none. */
function linkTarget(kernel: Kernel, root: number, path: string, kind: Kind): string | undefined {
  kernel.batch(makeCalls(root, path, kind));
  const place = openat2(root, path, {
    flags: O.O_PATH | O.O_NOFOLLOW,
    resolve: RESOLVE.RESOLVE_IN_ROOT | RESOLVE.RESOLVE_NO_MAGICLINKS,
  });
  const [fd, { mode }] = kernel.batch([place, statx(place, "", AT.AT_EMPTY_PATH)]);
  try {
    return (mode & S_IF.S_IFMT) === S_IF.S_IFLNK ? kernel.call(readlinkat(fd, "")) : undefined;
  } finally {
    kernel.call(close(fd));
  }
}
