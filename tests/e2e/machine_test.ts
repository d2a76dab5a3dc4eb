// cgroup2 alone, on a real kernel that has nothing else: limits, freezer, cgroup.kill, CLONE_INTO_CGROUP, devices, OOM
// notices, updates. The kernel is 6.1 on Debian 12, so the lower rungs of the ladders are walked, too.
import { assertEquals } from "@std/assert";
import { notRoot, testUnless } from "../skip.ts";
import { defaultSpec } from "../../runtime/spec/default_spec.ts";
import { inTempDir } from "./belay.ts";
import { inMachine, noMachine } from "./machine.ts";

// deno-lint-ignore no-explicit-any -- JSON that is changed here and there
type AnySpec = any;

/** What the container is limited to. */
const RESOURCES = {
  devices: [{ allow: false, access: "rwm" }],
  memory: { limit: 64 << 20, swap: 64 << 20, reservation: 16 << 20 },
  cpu: { shares: 512, quota: 50000, period: 200000, cpus: "0" },
  pids: { limit: 30 },
  blockIO: { weight: 100 },
  unified: { "memory.high": String(60 << 20), "cgroup.max.depth": "4" },
};

function config(args: readonly string[], change: (spec: AnySpec) => void = () => {}): string {
  const spec: AnySpec = defaultSpec({ cgroup2: true });
  Object.assign(spec.process, { terminal: false, args });
  spec.root = { path: "/rootfs", readonly: true };
  spec.linux.cgroupsPath = "/test/c";
  spec.linux.resources = RESOURCES;
  change(spec);
  return JSON.stringify(spec);
}

/** Forks up to its limit and on. */
const BOMB = "for i in 1 2 3; do yes 'sleep 0.01 &' | sh -i >/dev/null 2>&1 & done; wait";

/** A container in the host's pid namespace: only its cgroup holds its processes together. */
function inHostPids(spec: AnySpec): void {
  const isNot = (type: string) => (each: { type: string }) => each.type !== type;
  spec.linux.namespaces = spec.linux.namespaces.filter(isNot("pid"));
  spec.mounts = spec.mounts.filter(isNot("proc"));
  spec.linux.maskedPaths = spec.linux.readonlyPaths = [];
}

const GREEDY = ["dd", "if=/dev/zero", "of=/dev/null", "bs=100M", "count=1"];

const BUNDLES: Readonly<Record<string, string>> = {
  look: config([
    "sh",
    "-c",
    "cat /proc/self/cgroup; ls /sys/fs/cgroup/memory.max; (: </dev/kmsg) 2>/dev/null || echo no kmsg; : </dev/null",
  ], (spec) => {
    spec.linux.namespaces = spec.linux.namespaces.filter(({ type }: { type: string }) =>
      type !== "cgroup"
    );
  }),
  bomb: config(["sh", "-c", BOMB], inHostPids),
  greedy: config(GREEDY),
  divided: config(["sleep", "1000"]),
};

/** `RESULT name` and what was found, line by line; `say NAME WORDS` in the script prints one. */
const SCRIPT = `
say() { echo "RESULT $*"; }
C=/sys/fs/cgroup/test/c
files() { for f in "$@"; do say $f $(cat $C/$f); done; }
${
  Object.entries(BUNDLES).map(([name, json]) =>
    `mkdir -p /tmp/${name}; cat >/tmp/${name}/config.json <<'END'\n${json}\nEND`
  ).join("\n")
}
say only $(grep -c cgroup /proc/mounts) $(grep -o '/sys/fs/cgroup cgroup2' /proc/mounts)
belay --trace /tmp/trace.json run --bundle /tmp/look look >/tmp/out 2>/tmp/err </dev/null
say run $? $(grep -v ^time= /tmp/err) $(tr '\\n' ' ' </tmp/out)
say born $(grep -o 'CLONE_INTO_CGROUP' /tmp/trace.json | sort -u)
say gone $(ls -d /sys/fs/cgroup/test 2>/dev/null)
belay run --detach --bundle /tmp/bomb bomb >/dev/null 2>&1 </dev/null; say detached $?
files memory.max memory.swap.max memory.low memory.high cpu.weight cpu.max cpuset.cpus pids.max cgroup.max.depth
say io $(head -1 $C/io.weight 2>/dev/null || head -1 $C/io.bfq.weight)
belay pause bomb; say paused $? $(grep frozen $C/cgroup.events)
consumed() { sort -n $C/cgroup.procs | while read p; do echo $p $(grep ctxt /proc/$p/status); done; }
consumed >/tmp/1; sleep 1; consumed >/tmp/2; cmp /tmp/1 /tmp/2 && say still $(test -s /tmp/1 && echo yes)
belay update --cpu-quota 70000 --memory-swap 80M bomb; say updated $?
files cpu.max memory.swap.max
echo '{"memory":{"limit":4096,"checkBeforeUpdate":true},"pids":{"limit":9}}' | belay update -r - bomb 2>/tmp/err
say refused $? $(grep -c 'are in use' /tmp/err)
files memory.max pids.max
belay resume bomb; say resumed $? $(grep frozen $C/cgroup.events)
belay --trace /tmp/trace.json kill --all bomb KILL; say killed $? $(grep -o 'cgroup[.]kill' /tmp/trace.json | sort -u)
i=0; while grep -q 'populated 1' $C/cgroup.events && [ $i -lt 100 ]; do sleep 0.1; i=$((i+1)); done
say empty $(grep populated $C/cgroup.events)
belay delete --force bomb; say deleted $? $(ls -d /sys/fs/cgroup/test 2>/dev/null)
belay create --bundle /tmp/greedy greedy >/dev/null 2>&1 </dev/null; say created $?
belay events --interval 1s greedy >/tmp/events 2>&1 & E=$!
i=0; while ! test -s /tmp/events && [ $i -lt 600 ]; do sleep 0.1; i=$((i+1)); done
belay start greedy; wait $E; say events $? $(grep -o '"type":"oom"' /tmp/events | sort -u)
belay delete --force greedy
belay run --detach --bundle /tmp/divided divided >/dev/null 2>&1 </dev/null; mkdir $C/leaf $C/other
say whole $(belay exec divided cat /proc/self/cgroup) $(belay exec --cgroup other divided cat /proc/self/cgroup)
cat $C/cgroup.procs >$C/leaf/cgroup.procs; echo +pids >$C/cgroup.subtree_control
say leaf $(belay exec divided cat /proc/self/cgroup) $(belay exec --cgroup other divided cat /proc/self/cgroup)
belay exec --cgroup / divided true 2>/tmp/err; say asked $? $(grep -o EBUSY /tmp/err)
belay delete --force divided; say swept $? $(ls -d /sys/fs/cgroup/test 2>/dev/null) $(belay list -q)
say end
`;

const EXPECTED: Readonly<Record<string, string>> = {
  only: "1 /sys/fs/cgroup cgroup2",
  run: "0 0::/test/c /sys/fs/cgroup/memory.max no kmsg",
  born: "CLONE_INTO_CGROUP",
  gone: "",
  detached: "0",
  "memory.low": String(16 << 20),
  "memory.high": String(60 << 20),
  "cpu.weight": "59",
  "cpuset.cpus": "0",
  "cgroup.max.depth": "4",
  io: "default 910",
  paused: "0 frozen 1",
  still: "yes",
  updated: "0",
  refused: "1 1",
  resumed: "0 frozen 0",
  killed: "0 cgroup.kill",
  empty: "populated 0",
  deleted: "0",
  created: "0",
  events: `0 "type":"oom"`,
  whole: "0::/ 0::/other",
  leaf: "0::/leaf 0::/other",
  asked: "255 EBUSY",
  swept: "0",
  end: "",
};

/** Files that are looked at twice: before and after the updates. */
const TWICE: Readonly<Record<string, readonly string[]>> = {
  "memory.max": [String(64 << 20), String(64 << 20)],
  "memory.swap.max": ["0", String(16 << 20)],
  "cpu.max": ["50000 200000", "70000 200000"],
  "pids.max": ["30", "30"],
};

testUnless(
  [notRoot(), await noMachine()],
  "a machine with cgroup2 alone: containers are limited, frozen, updated, killed and leave nothing",
  () =>
    inTempDir(async (directory) => {
      const console = await inMachine(directory, SCRIPT);
      const found = new Map<string, string[]>();
      for (const line of console.split("\n").filter((each) => each.startsWith("RESULT "))) {
        const [, name = "", ...words] = line.trim().split(" ");
        found.set(name, [...found.get(name) ?? [], words.join(" ")]);
      }
      const expected = new Map(Object.entries(EXPECTED).map(([name, each]) => [name, [each]]));
      for (const [name, values] of Object.entries(TWICE)) expected.set(name, [...values]);
      const sorted = (results: Map<string, string[]>) => Object.fromEntries([...results].sort());
      assertEquals(sorted(found), sorted(expected), console);
    }),
);
