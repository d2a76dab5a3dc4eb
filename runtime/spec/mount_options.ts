import * as mnt from "../../ffi/abi/mount_flags.ts";
import { preview, ValidationError } from "./validation_error.ts";

/** What the options of one mount ask for, ready for mount(2) and mount_setattr(2). */
export interface MountOptions {
  /** `bind` or `rbind` was given: `type` is a dummy and `source` a file or directory. */
  readonly bind: boolean;
  /** `rbind` was given. */
  readonly recursiveBind: boolean;
  /** MOUNT_ATTR_* asked for; of the access time the value is here and its mask in `clear`. */
  readonly set: number;
  /** MOUNT_ATTR_* to be off (`rw`, `suid`, ...); mount_setattr(2) clears first, then sets. */
  readonly clear: number;
  /** Like `set` for the whole tree of mounts: `rro`, `rnosuid`, ... (AT_RECURSIVE). */
  readonly recursiveSet: number;
  /** Like `clear` for the whole tree of mounts: `rrw`, `rsuid`, ... (AT_RECURSIVE). */
  readonly recursiveClear: number;
  /** All MS_* flags for mount(2) of a new filesystem, without MS_BIND, MS_REC and propagation. */
  readonly flags: number;
  /** MS_SHARED, MS_SLAVE, MS_PRIVATE or MS_UNBINDABLE, perhaps with MS_REC: one mount(2) each. */
  readonly propagation: readonly number[];
  /** What the filesystem itself must understand (`size=64k`), for mount(2)'s `data`. */
  readonly data: readonly string[];
  /** `tmpcopyup`: fill the new tmpfs with what it hides. */
  readonly tmpcopyup: boolean;
}

/** An attribute of a mount, under its names for mount(2) and for mount_setattr(2). */
interface Attribute {
  readonly on: boolean;
  readonly ms: number;
  readonly attr: number;
}

/** All of these also exist with an `r` before them, for the whole tree of mounts. */
const ATTRIBUTES: Readonly<Record<string, Attribute>> = {
  ro: { on: true, ms: mnt.MS_RDONLY, attr: mnt.MOUNT_ATTR_RDONLY },
  rw: { on: false, ms: mnt.MS_RDONLY, attr: mnt.MOUNT_ATTR_RDONLY },
  nosuid: { on: true, ms: mnt.MS_NOSUID, attr: mnt.MOUNT_ATTR_NOSUID },
  suid: { on: false, ms: mnt.MS_NOSUID, attr: mnt.MOUNT_ATTR_NOSUID },
  nodev: { on: true, ms: mnt.MS_NODEV, attr: mnt.MOUNT_ATTR_NODEV },
  dev: { on: false, ms: mnt.MS_NODEV, attr: mnt.MOUNT_ATTR_NODEV },
  noexec: { on: true, ms: mnt.MS_NOEXEC, attr: mnt.MOUNT_ATTR_NOEXEC },
  exec: { on: false, ms: mnt.MS_NOEXEC, attr: mnt.MOUNT_ATTR_NOEXEC },
  nosymfollow: { on: true, ms: mnt.MS_NOSYMFOLLOW, attr: mnt.MOUNT_ATTR_NOSYMFOLLOW },
  symfollow: { on: false, ms: mnt.MS_NOSYMFOLLOW, attr: mnt.MOUNT_ATTR_NOSYMFOLLOW },
  nodiratime: { on: true, ms: mnt.MS_NODIRATIME, attr: mnt.MOUNT_ATTR_NODIRATIME },
  diratime: { on: false, ms: mnt.MS_NODIRATIME, attr: mnt.MOUNT_ATTR_NODIRATIME },
};

/** The values of the field MOUNT_ATTR__ATIME; these options, too, exist with an `r`. */
const ACCESS_TIMES: Readonly<Record<string, { readonly on: boolean; readonly attr: number }>> = {
  noatime: { on: true, attr: mnt.MOUNT_ATTR_NOATIME },
  atime: { on: false, attr: mnt.MOUNT_ATTR_NOATIME },
  strictatime: { on: true, attr: mnt.MOUNT_ATTR_STRICTATIME },
  nostrictatime: { on: false, attr: mnt.MOUNT_ATTR_STRICTATIME },
  relatime: { on: true, attr: mnt.MOUNT_ATTR_RELATIME },
  norelatime: { on: false, attr: mnt.MOUNT_ATTR_RELATIME },
};

/** Flags of the filesystem (its superblock) or of the call: [flag, whether the option sets it]. */
const FILESYSTEM_FLAGS: Readonly<Record<string, readonly [flag: number, on: boolean]>> = {
  sync: [mnt.MS_SYNCHRONOUS, true],
  async: [mnt.MS_SYNCHRONOUS, false],
  dirsync: [mnt.MS_DIRSYNC, true],
  lazytime: [mnt.MS_LAZYTIME, true],
  nolazytime: [mnt.MS_LAZYTIME, false],
  mand: [mnt.MS_MANDLOCK, true],
  nomand: [mnt.MS_MANDLOCK, false],
  iversion: [mnt.MS_I_VERSION, true],
  noiversion: [mnt.MS_I_VERSION, false],
  silent: [mnt.MS_SILENT, true],
  loud: [mnt.MS_SILENT, false],
  remount: [mnt.MS_REMOUNT, true],
};

/** Propagation types by their option, for mounts and for `linux.rootfsPropagation`. */
export const PROPAGATION: Readonly<Record<string, number>> = {
  shared: mnt.MS_SHARED,
  rshared: mnt.MS_SHARED | mnt.MS_REC,
  slave: mnt.MS_SLAVE,
  rslave: mnt.MS_SLAVE | mnt.MS_REC,
  private: mnt.MS_PRIVATE,
  rprivate: mnt.MS_PRIVATE | mnt.MS_REC,
  unbindable: mnt.MS_UNBINDABLE,
  runbindable: mnt.MS_UNBINDABLE | mnt.MS_REC,
};

/** Those that are in no table: each is a case of its own in `parseMountOptions()`. */
const OTHERS = ["bind", "rbind", "tmpcopyup", "defaults"] as const;

/** Every option that belay itself understands, sorted; others are the filesystem's. */
export function mountOptionNames(): string[] {
  const attributes = [...Object.keys(ATTRIBUTES), ...Object.keys(ACCESS_TIMES)];
  return [
    ...attributes,
    ...attributes.map((name) => `r${name}`),
    ...Object.keys(FILESYSTEM_FLAGS),
    ...Object.keys(PROPAGATION),
    ...OTHERS,
  ].sort();
}

/** The attributes gathered so far, for one mount or for its tree. */
interface Gathered {
  set: number;
  clear: number;
  flags: number;
}

/** Adds `option` when it is an attribute; of two that contradict each other the later wins. */
function gather(option: string, into: Gathered): boolean {
  const attribute = lookUp(ATTRIBUTES, option);
  if (attribute !== undefined) {
    const { on, ms, attr } = attribute;
    into.flags = on ? into.flags | ms : into.flags & ~ms;
    into.set = on ? into.set | attr : into.set & ~attr;
    into.clear = on ? into.clear & ~attr : into.clear | attr;
    return true;
  }
  const time = lookUp(ACCESS_TIMES, option);
  if (time === undefined) return false;
  // `noX` takes back X alone, so that "noatime,nostrictatime" remains noatime.
  const current = into.set & mnt.MOUNT_ATTR__ATIME;
  const remaining = current === time.attr ? mnt.MOUNT_ATTR_RELATIME : current;
  setAccessTime(into, time.on ? time.attr : remaining);
  return true;
}

function setAccessTime(into: Gathered, attr: number): void {
  // mount_setattr(2): whoever sets the access time must clear the whole field.
  into.clear |= mnt.MOUNT_ATTR__ATIME;
  into.set = (into.set & ~mnt.MOUNT_ATTR__ATIME) | attr;
  into.flags &= ~(mnt.MS_NOATIME | mnt.MS_STRICTATIME | mnt.MS_RELATIME);
  if (attr === mnt.MOUNT_ATTR_NOATIME) into.flags |= mnt.MS_NOATIME;
  else if (attr === mnt.MOUNT_ATTR_STRICTATIME) into.flags |= mnt.MS_STRICTATIME;
  else into.flags |= mnt.MS_RELATIME;
}

/**
 * Reads the options of the mount at `at` (`mounts[3]`), every one of config.md's table "Linux
 * mount options"; whatever is not in it is the filesystem's own and goes to `data` unchanged.
 * Options that cannot do anything (data for a bind mount) are named in `warnings`.
 *
 * @throws {ValidationError} for `idmap` and `ridmap`, which are not supported yet
 */
export function parseMountOptions(
  options: readonly string[],
  type: string | undefined,
  at: string,
  warnings: string[] = [],
): MountOptions {
  const own: Gathered = { set: 0, clear: 0, flags: 0 };
  const tree: Gathered = { set: 0, clear: 0, flags: 0 };
  const propagation: number[] = [];
  const data: string[] = [];
  const ofFilesystem: number[] = []; // the places of the options that say nothing to a bind mount
  let [bind, recursiveBind, tmpcopyup] = [false, false, false];

  for (let i = 0; i < options.length; i++) {
    const option = options[i] ?? "";
    if (gather(option, own)) continue;
    const way = lookUp(PROPAGATION, option);
    const flag = lookUp(FILESYSTEM_FLAGS, option);
    if (way !== undefined) {
      propagation.push(way);
    } else if (flag !== undefined) {
      own.flags = flag[1] ? own.flags | flag[0] : own.flags & ~flag[0];
      if (flag[1] && flag[0] !== mnt.MS_REMOUNT) ofFilesystem.push(i);
    } else if (option === "bind" || option === "rbind") {
      bind = true;
      recursiveBind ||= option === "rbind";
    } else if (option.startsWith("r") && gather(option.slice(1), tree)) {
      continue;
    } else if (option === "tmpcopyup") {
      tmpcopyup = true;
      if (type !== "tmpfs") ofFilesystem.push(i);
    } else if (option === "idmap" || option === "ridmap") {
      throw new ValidationError(
        `${at}.options[${i}]`,
        `"${option}" asks for an idmapped mount; these are not supported yet`,
      );
    } else if (option !== "defaults" && option !== "") {
      data.push(option);
      ofFilesystem.push(i);
    }
  }

  for (const i of ofFilesystem) {
    const what = `${at}.options[${i}]: ${preview(options[i])}`;
    if (bind) warnings.push(`${what} has no effect on a bind mount`);
    else if (options[i] === "tmpcopyup") warnings.push(`${what} has an effect on a tmpfs only`);
  }
  return {
    bind,
    recursiveBind,
    ...own,
    recursiveSet: tree.set,
    recursiveClear: tree.clear,
    propagation,
    data,
    tmpcopyup: tmpcopyup && type === "tmpfs" && !bind,
  };
}

/** `table[key]`, for keys from outside: `constructor` is no option. */
function lookUp<T>(table: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(table, key) ? table[key] : undefined;
}
