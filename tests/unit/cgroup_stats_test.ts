// What `events` makes of the files of a cgroup, from files as kernels write them.
import { assertEquals } from "@std/assert";
import { numbersOf } from "../../runtime/cgroup/stat_files.ts";
import { readStats } from "../../runtime/cgroup/stats.ts";
import { FakeKernel } from "./cgroup_fake_kernel.ts";

const V1 = ["cpuacct", "cpu", "memory", "blkio", "hugetlb", "pids"].map((name) => ({
  ...{ version: 1 as const, controllers: [name], path: `/c/${name}/x` },
}));
const V2 = [{ version: 2 as const, controllers: ["cpu", "memory", "io"], path: "/c/v2/x" }];

function kernel(files: Record<string, string>): FakeKernel {
  const fake = new FakeKernel();
  for (const path in files) fake.files.set(path, files[path] ?? "");
  return fake;
}

Deno.test("readStats() gives runc's names to the files of v1", () => {
  const fake = kernel({
    "/c/cpuacct/x/cpuacct.usage": "15262987\n",
    "/c/cpuacct/x/cpuacct.usage_percpu": "11361290 3901697 \n",
    "/c/cpuacct/x/cpuacct.usage_all": "cpu user system\n0 4000000 8000000\n1 0 12\n",
    "/c/cpuacct/x/cpuacct.stat": "user 3\nsystem 1\n",
    "/c/cpu/x/cpu.stat": "nr_periods 5\nnr_throttled 2\nthrottled_time 700\n",
    "/c/memory/x/memory.limit_in_bytes": "9223372036854771712\n",
    "/c/memory/x/memory.usage_in_bytes": "307200\n",
    "/c/memory/x/memory.max_usage_in_bytes": "2510848\n",
    "/c/memory/x/memory.failcnt": "4\n",
    "/c/memory/x/memory.stat": "cache 8192\nactive_anon 4096\n",
    "/c/blkio/x/blkio.bfq.io_serviced_recursive": "Total 0\n",
    "/c/blkio/x/blkio.throttle.io_service_bytes_recursive":
      "8:0 Read 4096\n8:0 Write 0\n8:0 Total 4096\nTotal 4096\n",
    "/c/pids/x/pids.current": "3\n",
    "/c/pids/x/pids.max": "max\n",
  });
  const stats = readStats(fake, V1);
  assertEquals(stats.cpu, {
    usage: {
      total: 15262987n,
      percpu: [11361290n, 3901697n],
      percpu_kernel: [8000000n, 12n],
      percpu_user: [4000000n, 0n],
      kernel: 10000000n,
      user: 30000000n,
    },
    throttling: { periods: 5n, throttledPeriods: 2n, throttledTime: 700n },
  });
  assertEquals(stats.memory.cache, 8192n);
  assertEquals(stats.memory.usage, {
    ...{ limit: 9223372036854771712n, usage: 307200n, max: 2510848n, failcnt: 4n },
  });
  assertEquals(Object.entries(stats.memory.raw ?? {}), [["active_anon", 4096n], ["cache", 8192n]]);
  assertEquals(stats.memory.kernel, { limit: 0n, failcnt: 0n });
  assertEquals(stats.blkio, {
    ioServiceBytesRecursive: [
      { major: 8n, op: "Read", value: 4096n },
      { major: 8n, op: "Write" },
      { major: 8n, op: "Total", value: 4096n },
    ],
  });
  assertEquals(stats.pids, { current: 3n });
  assertEquals(stats.hugetlb, {});
  assertEquals(fake.openFds, 0);
});

Deno.test("readStats() counts swap with memory on v2, and time in nanoseconds", () => {
  const stats = readStats(
    kernel({
      "/c/v2/x/cpu.stat": "usage_usec 5\nuser_usec 3\nsystem_usec 2\nnr_periods 1\n" +
        "nr_throttled 1\nthrottled_usec 9\n",
      "/c/v2/x/memory.current": "1000\n",
      "/c/v2/x/memory.max": "5000\n",
      "/c/v2/x/memory.peak": "1200\n",
      "/c/v2/x/memory.swap.current": "10\n",
      "/c/v2/x/memory.swap.max": "100\n",
      "/c/v2/x/memory.stat": "anon 5\nfile 77\n",
      "/c/v2/x/io.stat": "8:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n7:0 \n",
      "/c/v2/x/pids.current": "2\n",
      "/c/v2/x/pids.max": "9\n",
    }),
    V2,
  );
  assertEquals(stats.cpu, {
    usage: { total: 5000n, kernel: 2000n, user: 3000n },
    throttling: { periods: 1n, throttledPeriods: 1n, throttledTime: 9000n },
  });
  assertEquals(stats.memory, {
    cache: 77n,
    usage: { limit: 5000n, usage: 1000n, max: 1200n, failcnt: 0n },
    swap: { limit: 5100n, usage: 1010n, failcnt: 0n },
    kernel: { limit: 0n, failcnt: 0n },
    kernelTCP: { limit: 0n, failcnt: 0n },
    raw: { anon: 5n, file: 77n },
  });
  assertEquals(stats.blkio, {
    ioServiceBytesRecursive: [
      { major: 8n, minor: 16n, op: "Read", value: 1n },
      { major: 8n, minor: 16n, op: "Write", value: 2n },
    ],
    ioServicedRecursive: [
      { major: 8n, minor: 16n, op: "Read", value: 3n },
      { major: 8n, minor: 16n, op: "Write", value: 4n },
    ],
  });
  assertEquals(stats.pids, { current: 2n, limit: 9n });
});

Deno.test("readStats() says unlimited as runc does on v2", () => {
  const stats = readStats(
    kernel({ "/c/v2/x/memory.max": "max\n", "/c/v2/x/memory.swap.max": "5\n" }),
    V2,
  );
  assertEquals([stats.memory.usage.limit, stats.memory.swap.limit], [
    2n ** 64n - 1n,
    2n ** 64n - 1n,
  ]);
});

Deno.test("readStats() gives zeros when the container has gone", () => {
  for (const directories of [V1, V2, []]) {
    const stats = readStats(new FakeKernel(), directories);
    assertEquals(stats.cpu.usage, { kernel: 0n, user: 0n });
    assertEquals(stats.pids, {});
  }
});

Deno.test("numbersOf() gives every number of a list of ranges", () => {
  assertEquals(numbersOf("0-3,7\n"), [0, 1, 2, 3, 7]);
  assertEquals(numbersOf("\n"), []);
  assertEquals(numbersOf("3-1,x,,5"), [5]);
});
