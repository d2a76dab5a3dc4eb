import type { Asked, Script } from "../../ffi/recorder.ts";
import { Struct } from "../../ffi/call.ts";
import { ERRNO } from "../../ffi/abi/errno.ts";
import { AT_FDCWD, FS_MAGIC, S_IF } from "../../ffi/abi/file_flags.ts";

/** Offsets in the structs that the answers fill (their decoders in ffi/syscalls/ name the sources). */
const STATX = { mode: 28, rdevMajor: 128, rdevMinor: 132 } as const;
const STATFS_TYPE = 0;
const SIGINFO = { signo: 0, code: 8, pid: 16 } as const;
const POLLFD = { size: 8, revents: 6 } as const;
const SIGCHLD = 17;
const CLD_EXITED = 1;

/**
 * Answers for `belay plan`. What only looks is answered as this host and the bundle's root directory are, by ordinary
 * reads without privilege; what would change something succeeds. The container's own /proc and /sys do not exist yet:
 * the host's stand in for them.
 */
export class HostScript {
  /** What each process would have open: path by descriptor. */
  readonly #open = new Map<string, string>();
  readonly #read = new Set<string>();
  readonly #made = new Set<string>();

  /** @param rootfs The bundle's root directory. */
  constructor(private readonly rootfs: string) {}

  /** Answers one call. */
  readonly answer: Script = (asked) => {
    const { args } = asked;
    switch (asked.name) {
      case "openat":
      case "openat2":
      case "open_tree":
        return this.#opened(asked);
      case "read":
        return this.#readOnce(asked);
      case "write":
        return Number(args[2]);
      case "mkdirat":
      case "mknodat":
        this.#made.add(this.#pathOf(asked));
        return undefined;
      case "statx":
        return this.#stat(asked);
      case "faccessat2":
        return this.#find(asked) === undefined ? -ERRNO.ENOENT : 0;
      case "fstatfs":
        return this.#fileSystem(asked);
      case "capget":
        return fill(args[1], (view) => {
          for (let at = 0; at < view.byteLength; at += 4) view.setUint32(at, 0xffffffff, true);
        });
      case "getcwd":
        fill(args[0], (view) => view.setUint8(0, "/".charCodeAt(0)));
        return 2;
      case "waitid":
        return fill(args[2], (view) => {
          view.setInt32(SIGINFO.signo, SIGCHLD, true);
          view.setInt32(SIGINFO.code, CLD_EXITED, true);
          view.setInt32(SIGINFO.pid, 1, true);
        });
      case "ppoll":
        fill(args[0], (view) => {
          for (let at = 0; at < view.byteLength; at += POLLFD.size) {
            view.setInt16(at + POLLFD.revents, 1, true);
          }
        });
        return 1;
    }
    return undefined;
  };

  #opened(asked: Asked): number {
    // openat alone may make what it opens; the state directory and cgroups are opened by it.
    if (asked.name !== "openat" && this.#find(asked) === undefined) return -ERRNO.ENOENT;
    const fd = asked.newFd();
    this.#open.set(`${asked.process} ${fd}`, this.#pathOf(asked));
    return fd;
  }

  /** The path that the first two arguments name, from what was opened before. */
  #pathOf({ process, args: [dirfd, path] }: Asked): string {
    const name = typeof path === "string" ? path : "";
    if (name.startsWith("/")) return name;
    const base = Number(dirfd) === AT_FDCWD ? "" : this.#openAs(process, Number(dirfd));
    if (name === "" || name === ".") return base;
    return `${base === "/" ? "" : base}/${name}`;
  }

  /** The path behind a descriptor, which may be inherited: the init is a clone of the outer stub. */
  #openAs(process: string, fd: number): string {
    return this.#open.get(`${process} ${fd}`) ?? this.#open.get(`outer ${fd}`) ?? "";
  }

  #readOnce({ process, args: [fd, buffer, size] }: Asked): number {
    const opened = `${process} ${fd}`;
    if (!(buffer instanceof Struct) || this.#read.has(opened)) return 0;
    this.#read.add(opened);
    try {
      const bytes = Deno.readFileSync(this.#open.get(opened) ?? "").subarray(0, Number(size));
      buffer.bytes.set(bytes);
      return bytes.length;
    } catch (error) {
      // Not there, or not for this user to see: as an empty file. Nothing is executed, so nothing goes wrong by it.
      if (error instanceof Error) return 0;
      throw error;
    }
  }

  #stat(asked: Asked): number {
    const mode = this.#find(asked);
    if (mode === undefined) return -ERRNO.ENOENT;
    return fill(asked.args[4], (view) => {
      view.setUint16(STATX.mode, mode, true);
      if (this.#pathOf(asked) !== "/dev/null") return;
      view.setUint32(STATX.rdevMajor, 1, true);
      view.setUint32(STATX.rdevMinor, 3, true);
    });
  }

  /** The mode of what a call names, in the root directory or on the host; undefined where there is nothing. */
  #find(asked: Asked): number | undefined {
    const path = this.#pathOf(asked);
    if (this.#made.has(path) || path === "") return S_IF.S_IFDIR | 0o755;
    if (/^\/proc\/\d+\//.test(path)) return S_IF.S_IFREG | 0o444; // of a process that only the plan has
    if (asked.process === "belay") return modeOf(path);
    const bare = path.startsWith(this.rootfs) ? path.slice(this.rootfs.length) : path;
    if (bare === "/dev/pts/ptmx") return S_IF.S_IFCHR | 0o666; // of the container's own devpts
    const onHost = asked.name === "open_tree" || /^\/(proc|sys|dev)(\/|$)/.test(bare);
    return modeOf(this.rootfs + bare) ?? (onHost ? modeOf(bare) : undefined);
  }

  /** A guess by the path, as configurations have it: nothing is mounted yet. */
  #fileSystem(asked: Asked): number {
    const path = this.#pathOf(asked);
    const bare = path.startsWith(this.rootfs) ? path.slice(this.rootfs.length) : path;
    const type = /^\/proc(\/|$)/.test(bare)
      ? FS_MAGIC.PROC_SUPER_MAGIC
      : /\/pts(\/|$)/.test(bare)
      ? FS_MAGIC.DEVPTS_SUPER_MAGIC
      : FS_MAGIC.TMPFS_MAGIC;
    return fill(asked.args[1], (view) => view.setBigInt64(STATFS_TYPE, BigInt(type), true));
  }
}

function modeOf(path: string): number | undefined {
  try {
    const { isDirectory, isCharDevice, mode } = Deno.statSync(path);
    const type = isDirectory ? S_IF.S_IFDIR : isCharDevice ? S_IF.S_IFCHR : S_IF.S_IFREG;
    return type | ((mode ?? 0o755) & 0o7777);
  } catch (error) {
    if (error instanceof Error) return undefined; // not there, or hidden from this user: the same to a plan
    throw error;
  }
}

function fill(arg: unknown, write: (view: DataView) => void): number {
  if (arg instanceof Struct) write(arg.view());
  return 0;
}
