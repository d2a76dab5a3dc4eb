import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { Struct } from "../../ffi/call.ts";
import { Pidfd } from "../../ffi/pidfd.ts";
import { Recorder } from "../../ffi/recorder.ts";
import { SyscallError } from "../../ffi/syscall_error.ts";
import type { CgroupDirectory } from "../../runtime/cgroup/cgroup_plan.ts";
import { checkSubCgroups, subCgroups } from "../../runtime/cgroup/sub_cgroups.ts";
import { CommandError } from "../../runtime/cli/command_error.ts";
import { joinContainer, type Joining } from "../../runtime/container/join_container.ts";

const V1: readonly CgroupDirectory[] = [
  { version: 1, controllers: ["cpu", "cpuacct"], path: "/c/cpu/x" },
  { version: 1, controllers: ["memory"], path: "/c/memory/x" },
  { version: 1, controllers: ["name=systemd"], path: "/c/systemd/x" },
  { version: 2, controllers: [], path: "/c/unified/x" },
];
const V2: readonly CgroupDirectory[] = [
  { version: 2, controllers: ["cpu", "memory"], path: "/c/x" },
];

const paths = (directories: readonly CgroupDirectory[], ...given: string[]) =>
  subCgroups(directories, given).map(({ path }) => path);

Deno.test("subCgroups() goes below the container's cgroup in every hierarchy when no controller is named", () => {
  assertEquals(paths(V1, "a/b"), [
    "/c/cpu/x/a/b",
    "/c/memory/x/a/b",
    "/c/systemd/x/a/b",
    "/c/unified/x/a/b",
  ]);
  assertEquals(paths(V2, "/a//./b/../c/"), ["/c/x/a/c"]);
  for (const same of ["/", ".", "a/.."]) assertEquals(paths(V2, same), ["/c/x"]);
  assertEquals(paths(V2), ["/c/x"]);
});

Deno.test("subCgroups() goes below in some hierarchies when controllers are named", () => {
  assertEquals(paths(V1, "memory:m", "cpu,cpuacct:c"), [
    "/c/cpu/x/c",
    "/c/memory/x/m",
    "/c/systemd/x",
    "/c/unified/x",
  ]);
  assertEquals(paths(V1, "cpuacct:c", "cpu:/c", "name=systemd:s"), [
    ...["/c/cpu/x/c", "/c/memory/x", "/c/systemd/x/s", "/c/unified/x"],
  ]);
});

Deno.test("subCgroups() throws an error that names what was given when it is no sub-cgroup", () => {
  const refuses = (directories: readonly CgroupDirectory[], given: string[], problem: string) =>
    assertThrows(() => subCgroups(directories, given), CommandError, problem);
  refuses(V2, [".."], '--cgroup "..": is not a sub cgroup path');
  // To a neighbour whose name begins alike.
  refuses(V2, ["../x2"], '--cgroup "../x2": is not a sub cgroup path');
  refuses(V1, ["memory:a/../../y"], "is not a sub cgroup path");
  refuses(V1, ["a:b:c"], '--cgroup "a:b:c": is not [CONTROLLER');
  refuses(V1, ["a", "memory:b"], '--cgroup "a": names no controller');
  refuses(V1, ["pids:a"], 'no controller "pids", but cpu, cpuacct, memory, name=systemd');
  refuses(V1, [":a"], 'no controller ""');
  refuses(
    V1,
    ["cpu:a", "cpuacct:b"],
    "another --cgroup sends cpu,cpuacct, mounted together, elsewhere",
  );
  refuses(V2, ["cpu:a"], "on cgroup v2 all are in one hierarchy");
  refuses([], ["a"], "the container has no cgroups");
});

Deno.test("checkSubCgroups() names the cgroup when it is not there", () => {
  const { thread } = new Recorder(({ args }) => args[1] === "/c/memory/x/a" ? -2 : undefined);
  checkSubCgroups(thread, V1);
  assertThrows(
    () => checkSubCgroups(thread, subCgroups(V1, ["a"])),
    CommandError,
    "--cgroup: cannot use the cgroup /c/memory/x/a",
  );
});

const MOUNTINFO = "30 1 0:26 / /c rw - cgroup2 cgroup2 rw\n";

/**
 * A machine with cgroup2 alone, where nothing can be born into the container's cgroup, /c/x.
 * @param where What /proc/1234/cgroup says of its first process.
 */
function divided(where: string, errno = 16) {
  const texts: Record<string, string> = {
    "/proc/self/mountinfo": MOUNTINFO,
    "/proc/1234/cgroup": `0::${where}\n`,
  };
  const open = new Map<number, string>();
  let births = 0;
  return new Recorder(({ process, name, args, newFd }) => {
    if (name === "clone3") return births++ === 0 ? -errno : undefined;
    const info = args[2];
    if (name === "waitid" && info instanceof Struct) {
      // The stub that was ended: si_signo SIGCHLD, si_code CLD_KILLED, si_pid.
      for (const [at, value] of [[0, 17], [8, 2], [12, 101]] as const) {
        info.view().setInt32(at, value, true);
      }
      return 0;
    }
    if (process !== "belay") return undefined;
    if (name === "openat") {
      const fd = newFd();
      open.set(fd, texts[String(args[1])] ?? "");
      return fd;
    }
    const [fd, memory] = args;
    if (name !== "read" || !(memory instanceof Struct)) return undefined;
    const bytes = new TextEncoder().encode(open.get(Number(fd)) ?? "");
    open.set(Number(fd), "");
    memory.bytes.set(bytes);
    return bytes.length;
  });
}

async function join(recorder: Recorder, cgroupsAsked = false): Promise<string[]> {
  const joining = {
    init: new Pidfd(recorder.thread, 50, 1234),
    state: { join: { namespaces: 0 } },
    ...{ cgroups: V2, cgroupsAsked, preserveFds: 0, privileged: true },
    process: { rlimits: [] },
  };
  const { steps } = await joinContainer(recorder, joining as unknown as Joining);
  steps.flush();
  return recorder.calls.filter(({ name, text }) => name === "clone3" || text.includes('"/c/'))
    .map(({ process, name, text, result }) =>
      `${process} ${name} ${/"(.*)"/.exec(text)?.[1] ?? ""} ${result < 0 ? result : ""}`.trim()
    );
}

Deno.test("joinContainer() joins the first process's cgroup when the container has divided its own", async () => {
  for (const errno of [16, 95]) {
    assertEquals(await join(divided("/x/leaf", errno)), [
      "outer openat /c/x",
      `outer clone3  -${errno}`,
      "belay openat /c/x/leaf",
      "outer clone3",
    ]);
  }
});

Deno.test("joinContainer() throws the kernel's error when the first process is not below the container's cgroup", async () => {
  for (const where of ["/", "/x", "/x2/leaf", "/../y", "/elsewhere"]) {
    await assertRejects(() => join(divided(where)), SyscallError, "EBUSY", where);
  }
});

Deno.test("joinContainer() throws the kernel's error when the cgroup was asked for, or the error is another", async () => {
  await assertRejects(() => join(divided("/x/leaf"), true), SyscallError, "EBUSY");
  await assertRejects(() => join(divided("/x/leaf", 12)), SyscallError, "ENOMEM");
});
