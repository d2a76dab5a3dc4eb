/** One line of /proc/self/mountinfo (proc_pid_mountinfo(5)), as far as cgroups are concerned. */
export interface MountinfoEntry {
  /** The mount's number and that of the mount that it lies on. */
  readonly id: number;
  readonly parent: number;
  /** Which directory of the file system is mounted. */
  readonly root: string;
  readonly mountPoint: string;
  /** `cgroup`, `cgroup2`, `tmpfs`, … */
  readonly type: string;
  /** Options of the file system itself, which for cgroup v1 name its controllers. */
  readonly superOptions: readonly string[];
}

/** Reads mountinfo. Lines that are not in its format are left out: the kernel writes none. */
export function parseMountinfo(text: string): MountinfoEntry[] {
  return text.split("\n").flatMap((line) => {
    const separator = line.indexOf(" - ");
    if (separator < 0) return [];
    const [id, parent, , root, mountPoint] = line.slice(0, separator).split(" ");
    const [type, , superOptions] = line.slice(separator + 3).split(" ");
    if (root === undefined || mountPoint === undefined || type === undefined) return [];
    return [{
      id: Number(id),
      parent: Number(parent),
      root: unescaped(root),
      mountPoint: unescaped(mountPoint),
      type,
      superOptions: superOptions?.split(",") ?? [],
    }];
  });
}

/** The path itself: the kernel writes space, tab, newline and backslash as `\040` and so on (mangle(), fs/seq_file.c). */
function unescaped(path: string): string {
  if (!path.includes("\\")) return path;
  return path.replace(/\\([0-3][0-7]{2})/g, (_, octal) => String.fromCharCode(parseInt(octal, 8)));
}

/**
 * Whether a path lookup reaches the mount: nothing was mounted over it, or over anything that it lies on, later.
 */
export function isReachable(mount: MountinfoEntry, all: readonly MountinfoEntry[]): boolean {
  const above = all.filter(({ mountPoint }) => covers(mountPoint, mount.mountPoint));
  const chain = new Set<number>();
  for (let at: MountinfoEntry | undefined = mount; at !== undefined && !chain.has(at.id);) {
    chain.add(at.id);
    const { parent }: MountinfoEntry = at;
    at = above.find((other) => other.id === parent);
  }
  return !above.some(({ id, parent }) => !chain.has(id) && chain.has(parent));
}

function covers(mountPoint: string, path: string): boolean {
  return path.startsWith(mountPoint) &&
    (path.length === mountPoint.length || mountPoint === "/" || path[mountPoint.length] === "/");
}
