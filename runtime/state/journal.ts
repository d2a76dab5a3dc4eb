import type { Kernel } from "../../ffi/kernel.ts";
import { openat } from "../../ffi/syscalls/file.ts";
import { writeWhole } from "../../ffi/files.ts";
import { O } from "../../ffi/abi/file_flags.ts";
import type { CgroupEntry } from "../cgroup/destroy_cgroups.ts";
import type { UnitEntry } from "../systemd/unit_entry.ts";

/**
 * Something that the kernel does not end for us, written down before it is made (DESIGN, law 5): a cgroup directory,
 * or a unit of systemd's.
 * (A root in somebody else's mount namespace has its record in the state directory, too: see `foreign_mount.ts`.)
 */
export type JournalEntry = CgroupEntry | UnitEntry;

/** The file's name in a state directory: one JSON object a line, in the order of making. */
export const JOURNAL_FILE = "journal";

/** What was begun for one container. */
export class Journal {
  /** @param directory The state directory's descriptor; the caller's. */
  constructor(private readonly kernel: Kernel, private readonly directory: number) {}

  /**
   * Writes entries down, in one write. No fsync: what the journal speaks of does not survive the loss of power that
   * an fsync would guard against (cgroups and mounts are gone after a boot), and SIGKILL does not lose written pages.
   */
  record(entries: readonly JournalEntry[]): void {
    if (entries.length === 0) return;
    const text = entries.map((entry) => JSON.stringify(entry) + "\n").join("");
    const flags = O.O_WRONLY | O.O_CREAT | O.O_APPEND;
    writeWhole(this.kernel, openat(this.directory, JOURNAL_FILE, flags, 0o600), text);
  }
}

/**
 * Reads a journal. A line that was cut, by a crash or a full disk, is left out: nothing was made for it, because things
 * are made only after it was written whole.
 */
export function parseJournal(text: string): JournalEntry[] {
  return text.split("\n").slice(0, -1).flatMap((line) => {
    const entry = parseLine(line);
    return isEntry(entry) ? [entry] : [];
  });
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined; // a container with a damaged journal must still be deletable
    throw error;
  }
}

function isEntry(entry: unknown): entry is JournalEntry {
  if (typeof entry !== "object" || entry === null || !("kind" in entry)) return false;
  if (entry.kind === "unit") {
    return ["name", "address", "description"].every((key) =>
      typeof (entry as Record<string, unknown>)[key] === "string"
    );
  }
  return entry.kind === "cgroup" && "path" in entry && typeof entry.path === "string";
}
