/**
 * The maps of a user namespace, as data: what the kernel will accept, and the text that it reads (user_namespaces(7)).
 *
 * @module
 */

/** One line of /proc/PID/uid_map. */
export interface MappedRange {
  readonly containerID: number;
  readonly hostID: number;
  readonly size: number;
}

/** (uid_t)-1 is no id: no range may reach it (kernel/user_namespace.c, map_write). */
const NO_ID = 2 ** 32 - 1;
/** UID_GID_MAP_MAX_EXTENTS: lines that a map file takes (since Linux 4.15). */
const MOST_RANGES = 340;
/** A map is one write of less than a page; pages have 4 kB on x86_64, and up to 64 kB on aarch64. */
const PAGE_SIZE = Deno.build.arch === "x86_64" ? 0x1000 : 0x10000;

/** The text of a map file. */
export function mapText(ranges: readonly MappedRange[]): string {
  return ranges.map(({ containerID, hostID, size }) => `${containerID} ${hostID} ${size}\n`)
    .join("");
}

/** Whether an id of the namespace is somebody outside. */
export function isMapped(id: number, ranges: readonly MappedRange[]): boolean {
  return ranges.some(({ containerID, size }) => id >= containerID && id < containerID + size);
}

/** What is wrong with a map, and where. */
export interface MapProblem {
  /** The list, or an entry of it with the part that is wrong: `linux.uidMappings[2].hostID`. */
  readonly where: string;
  readonly problem: string;
}

/** What is wrong with the size of a range; undefined when nothing is. */
export function sizeProblem(range: MappedRange): string | undefined {
  if (!(Number.isInteger(range.size) && range.size >= 1 && range.size <= NO_ID)) {
    return `must be a whole number from 1 to ${NO_ID}, got ${range.size}`;
  }
  const side = (["containerID", "hostID"] as const).find((each) =>
    range[each] + range.size > NO_ID
  );
  return side && `must end before id ${NO_ID}, got ${range.size} from ${side} ${range[side]}`;
}

/**
 * The first thing in a map that the kernel would refuse without a word about where; undefined when there is none.
 * @param list What the map is called.
 * @param nameOf What an entry of it is called.
 */
export function mapProblem(
  ranges: readonly MappedRange[],
  list: string,
  nameOf: (index: number) => string = (index) => `${list}[${index}]`,
): MapProblem | undefined {
  if (ranges.length === 0) return { where: list, problem: "must have one entry at least" };
  if (ranges.length > MOST_RANGES) {
    const problem = `may have ${MOST_RANGES} entries at most, got ${ranges.length}`;
    return { where: list, problem };
  }
  for (const [index, range] of ranges.entries()) {
    for (const side of ["containerID", "hostID"] as const) {
      if (Number.isInteger(range[side]) && range[side] >= 0 && range[side] <= NO_ID) continue;
      const problem = `must be a whole number from 0 to ${NO_ID}, got ${range[side]}`;
      return { where: `${nameOf(index)}.${side}`, problem };
    }
    const problem = sizeProblem(range);
    if (problem !== undefined) return { where: `${nameOf(index)}.size`, problem };
  }
  const overlap = overlapOf(ranges, nameOf);
  if (overlap !== undefined) return overlap;
  const { length } = mapText(ranges);
  if (length < PAGE_SIZE) return undefined;
  const problem = `is ${length} bytes of text; the kernel takes less than ${PAGE_SIZE}`;
  return { where: list, problem };
}

function overlapOf(
  ranges: readonly MappedRange[],
  nameOf: (index: number) => string,
): MapProblem | undefined {
  for (const side of ["containerID", "hostID"] as const) {
    const sorted = [...ranges.entries()].sort(([, a], [, b]) => a[side] - b[side]);
    for (const [n, [index, range]] of sorted.entries()) {
      const before = sorted[n - 1];
      if (before === undefined || before[1][side] + before[1].size <= range[side]) continue;
      const other = nameOf(before[0]);
      return {
        where: `${nameOf(index)}.${side}`,
        problem: `${range[side]} is in the range of ${other} already; ranges must not overlap`,
      };
    }
  }
  return undefined;
}
