// process.scheduler and process.ioPriority, and the labels of security modules.
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { noFile, type Obstacle } from "../skip.ts";
import { type Bundle, contained } from "./contained.ts";
import { has } from "./process_world.ts";
import { belayPath } from "./world.ts";

/** Priority, niceness, real-time priority and policy of a process (proc(5), /proc/pid/stat). */
async function scheduled(
  bundle: Bundle,
  script = "exec cat /proc/self/stat",
): Promise<{ nice: number; rt: number; policy: number }> {
  return fieldsOf(await bundle.ok(script));
}

function fieldsOf(stat: string): { nice: number; rt: number; policy: number } {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ").map(Number);
  const [nice = NaN, rt = NaN, policy = NaN] = [fields[16], fields[37], fields[38]];
  return { nice, rt, policy };
}

contained("process.scheduler is the program's policy, niceness and priority", async (bundle) => {
  const { process } = bundle.config;
  assertEquals(await scheduled(bundle), { nice: 0, rt: 0, policy: 0 });
  process.scheduler = { policy: "SCHED_OTHER", nice: 7 };
  assertEquals(await scheduled(bundle), { nice: 7, rt: 0, policy: 0 });
  process.scheduler = { policy: "SCHED_OTHER", nice: -5, flags: ["SCHED_FLAG_RESET_ON_FORK"] };
  assertEquals((await scheduled(bundle)).nice, -5);
  const inChild = "cat /proc/self/stat; true";
  assertEquals((await scheduled(bundle, inChild)).nice, 0);
  process.scheduler.flags = [];
  assertEquals((await scheduled(bundle, inChild)).nice, -5);
  process.scheduler = { policy: "SCHED_BATCH" };
  assertEquals(await scheduled(bundle), { nice: 0, rt: 0, policy: 3 });
  process.scheduler = { policy: "SCHED_IDLE" };
  assertEquals(await scheduled(bundle), { nice: 0, rt: 0, policy: 5 });
  process.scheduler = { policy: "", nice: 0, priority: 0 }; // as Go writes what nobody set
  assertEquals(await scheduled(bundle), { nice: 0, rt: 0, policy: 0 });
});

contained(
  "process.scheduler: SCHED_FIFO, SCHED_RR and SCHED_DEADLINE with their numbers",
  async (bundle) => {
    const { process, linux } = bundle.config;
    process.scheduler = { policy: "SCHED_DEADLINE", runtime: 1e6, deadline: 5e6, period: 1e7 };
    assertEquals((await scheduled(bundle)).policy, 6);
    // A cgroup of version 1 has no real time to begin with: a world without cgroups.
    delete linux.resources;
    const mounts: { type: string }[] = bundle.config.mounts;
    bundle.config.mounts = mounts.filter(({ type }) => type !== "cgroup");
    for (const [policy, number] of [["SCHED_FIFO", 1], ["SCHED_RR", 2]] as const) {
      process.scheduler = { policy, priority: 3 };
      bundle.write("exec cat /proc/self/stat");
      const { world, path, id } = bundle;
      const hidden = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        'umount -R /sys/fs/cgroup && exec "$@"',
        "sh",
      ];
      const command = [belayPath, "--root", world.root, "run", "--bundle", path, id];
      const { code, stdout, stderr } = await world.start([...hidden, ...command]).ended;
      assertEquals([code, stderr], [0, ""]);
      assertEquals(fieldsOf(stdout), { nice: 0, rt: 3, policy: number });
    }
  },
  noRealTime(),
);

contained("process.scheduler that cannot be had is told by name", async (bundle) => {
  const { process } = bundle.config;
  process.scheduler = { policy: "SCHED_ISO" };
  assertStringIncludes(await bundle.refused(), "process.scheduler: SCHED_ISO cannot be had");
  process.scheduler = { policy: "SCHED_OTHER", priority: 3 };
  assertStringIncludes(await bundle.refused(), "process.scheduler.priority: is for SCHED_FIFO");
  process.scheduler = { policy: "SCHED_FIFO", priority: 3, runtime: 5 };
  assertStringIncludes(await bundle.refused(), "process.scheduler.runtime: is for SCHED_DEADLINE");
  // The rights of a user namespace are none over the host's processors.
  bundle.userNamespace();
  process.scheduler = { policy: "SCHED_FIFO", priority: 3 };
  assertMatch(
    await bundle.refused(),
    /process.scheduler: SCHED_FIFO cannot be had; it takes CAP_SYS_NICE/,
  );
});

contained("process.ioPriority is the program's class and priority", async (bundle) => {
  const { process } = bundle.config;
  process.ioPriority = { class: "IOPRIO_CLASS_BE", priority: 6 };
  assertEquals(await bundle.ok("ionice"), "best-effort: prio 6");
  process.ioPriority = { class: "IOPRIO_CLASS_IDLE" };
  assertMatch(await bundle.ok("ionice"), /^idle/);
  process.ioPriority = { class: "IOPRIO_CLASS_RT", priority: 2 };
  assertEquals(await bundle.ok("ionice"), "realtime: prio 2");
  bundle.userNamespace();
  assertMatch(
    await bundle.refused(),
    /process.ioPriority: IOPRIO_CLASS_RT cannot be had; it takes CAP_SYS_NICE/,
  );
});

/** For what takes CAP_SYS_NICE. */
function noRealTime(): Obstacle {
  return has(23n) ? undefined : "CAP_SYS_NICE is missing";
}

const appArmor = noFile("/sys/module/apparmor") === undefined;
const seLinux = noFile("/sys/fs/selinux/enforce") === undefined;

contained(
  "process.apparmorProfile is refused by name where the kernel has no AppArmor",
  async (bundle) => {
    bundle.config.process.apparmorProfile = "docker-default";
    assertStringIncludes(
      await bundle.refused(),
      "process.apparmorProfile: this kernel does not use AppArmor",
    );
    bundle.config.process.apparmorProfile = ""; // dockerd's word for none
    assertEquals(await bundle.ok("echo runs"), "runs");
  },
  appArmor ? "this kernel has AppArmor" : undefined,
);

contained("SELinux labels are refused by name where the kernel has none", async (bundle) => {
  bundle.config.process.selinuxLabel = "system_u:system_r:container_t:s0";
  assertStringIncludes(
    await bundle.refused(),
    "process.selinuxLabel: this kernel does not use SELinux",
  );
  bundle.config.process.selinuxLabel = "";
  bundle.config.linux.mountLabel = "system_u:object_r:container_file_t:s0";
  assertStringIncludes(
    await bundle.refused(),
    "linux.mountLabel: this kernel does not use SELinux",
  );
  bundle.config.linux.mountLabel = "";
  assertEquals(await bundle.ok("echo runs"), "runs");
}, seLinux ? "this kernel has SELinux" : undefined);
