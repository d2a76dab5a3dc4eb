/** A thread that is in a network or mount namespace of its own, or the first one of its process. */
export interface ThreadSeen {
  /** Its process. */
  readonly pid: number;
  /** The thread itself; `pid` for the first one. */
  readonly tid: number;
  /** The inode of its network namespace. */
  readonly netns: number;
  /** The inode of the user namespace that owns that; 0 when it is not known yet. */
  readonly owner: number;
  /** The inode of its mount namespace; 0 when it could not be seen. */
  readonly mountNamespace: number;
  readonly comm: string;
}

/**
 * What was seen of the machine's threads and descriptors. Descriptors stay the records that the kernel wrote
 * (`ffi/task_iterators.ts`): there may be a hundred thousand, and most are never looked at one by one.
 */
export interface Seen {
  readonly threads: readonly ThreadSeen[];
  /** Whole records, in any number of pieces. */
  readonly files: readonly Uint32Array[];
  /** The number here of the process that a record names; undefined when it has ended. */
  readonly numberOf: (pid: number) => number | undefined;
  /** What could not be seen, for people. */
  readonly unseen: readonly string[];
}
