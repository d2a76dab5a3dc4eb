import type { Kernel } from "../../ffi/kernel.ts";
import type { CgroupDirectory } from "./cgroup_plan.ts";
import { amountOf, keyed, readStat, UNLIMITED } from "./stat_files.ts";
import type { BlkioEntry, MemoryEntry, Stats } from "./stats.ts";
import { blkioEntry, hugePageSizes, NO_CPUSET, pids, throttling, unlessZero } from "./stats_v1.ts";

const NS_PER_US = 1000n;

/** cgroup v2, in the words of v1. Source: Documentation/admin-guide/cgroup-v2.rst. @throws SyscallError */
export function statsV2(kernel: Kernel, directories: readonly CgroupDirectory[]): Stats {
  const directory = directories.find(({ version }) => version === 2)?.path;
  const read = (file: string) => readStat(kernel, directory, file);
  return {
    cpu: cpu(read),
    cpuset: NO_CPUSET,
    memory: memory(read),
    pids: pids(read),
    blkio: blkio(read("io.stat")),
    hugetlb: hugetlb(hugePageSizes(kernel, directory, "current"), read),
    intel_rdt: {},
    network_interfaces: null,
  };
}

type Read = (file: string) => string | undefined;

function cpu(read: Read): Stats["cpu"] {
  const stat = keyed(read("cpu.stat"));
  const { usage_usec = 0n, system_usec = 0n, user_usec = 0n } = stat;
  return {
    usage: {
      ...unlessZero({ total: usage_usec * NS_PER_US }),
      kernel: system_usec * NS_PER_US,
      user: user_usec * NS_PER_US,
    },
    throttling: throttling(stat, "throttled_usec", NS_PER_US),
  };
}

function memory(read: Read): Stats["memory"] {
  const raw = keyed(read("memory.stat"));
  const none: MemoryEntry = { limit: 0n, failcnt: 0n };
  const limit = amountOf(read("memory.max"));
  const usage = amountOf(read("memory.current"));
  const swapLimit = amountOf(read("memory.swap.max"));
  const together = swapLimit === UNLIMITED || limit === UNLIMITED ? UNLIMITED : swapLimit + limit;
  const swapUsage = amountOf(read("memory.swap.current")) + usage;
  return {
    ...unlessZero({ cache: raw.file ?? 0n }),
    usage: { limit, ...unlessZero({ usage, max: amountOf(read("memory.peak")) }), failcnt: 0n },
    swap: { limit: together, ...unlessZero({ usage: swapUsage }), failcnt: 0n },
    kernel: none,
    kernelTCP: none,
    ...(Object.keys(raw).length === 0 ? {} : { raw }),
  };
}

/** The four counters of io.stat that v1 has, too. */
const IO = {
  rbytes: ["ioServiceBytesRecursive", "Read"],
  wbytes: ["ioServiceBytesRecursive", "Write"],
  rios: ["ioServicedRecursive", "Read"],
  wios: ["ioServicedRecursive", "Write"],
} as const;

function blkio(text: string | undefined): Stats["blkio"] {
  const lists: Record<string, BlkioEntry[]> = {};
  for (const line of (text ?? "").split("\n")) {
    const [device = "", ...counters] = line.split(" ");
    const [, major, minor] = /^(\d+):(\d+)$/.exec(device) ?? [];
    if (major === undefined || minor === undefined) continue;
    for (const counter of counters) {
      const [, name, value] = /^(\w+)=(\d+)$/.exec(counter) ?? [];
      if (value === undefined || name === undefined || !Object.hasOwn(IO, name)) continue;
      const [list, op] = IO[name as keyof typeof IO];
      const entry = blkioEntry(BigInt(major), BigInt(minor), op, BigInt(value));
      (lists[list] ??= []).push(entry);
    }
  }
  return lists;
}

function hugetlb(sizes: readonly string[], read: Read): Stats["hugetlb"] {
  return Object.fromEntries(sizes.map((size) => {
    const usage = amountOf(read(`hugetlb.${size}.current`));
    const { max = 0n } = keyed(read(`hugetlb.${size}.events`));
    return [size, { ...unlessZero({ usage }), failcnt: max }];
  }));
}
