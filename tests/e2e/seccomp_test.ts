// linux.seccomp: what a program in the container hears of its system calls.
import { assertEquals } from "@std/assert";
import { contained } from "./contained.ts";
import { notX86, NR } from "./raw_syscall.ts";
import { called, ENOENT, ENOSYS, EPERM, noLibseccomp, only, SIGSYS_CODE } from "./seccomp_world.ts";

const obstacles = [noLibseccomp(), notX86()];

contained("linux.seccomp: every action does what its name says", async (bundle) => {
  const outcomes: Record<string, number> = {
    SCMP_ACT_ALLOW: 0,
    SCMP_ACT_LOG: 0,
    SCMP_ACT_ERRNO: EPERM,
    SCMP_ACT_TRACE: ENOSYS, // nobody traces it (seccomp(2))
    SCMP_ACT_TRAP: SIGSYS_CODE,
    SCMP_ACT_KILL: SIGSYS_CODE,
    SCMP_ACT_KILL_THREAD: SIGSYS_CODE,
    SCMP_ACT_KILL_PROCESS: SIGSYS_CODE,
  };
  const seen: Record<string, number> = {};
  for (const action in outcomes) {
    seen[action] = await called(bundle, only(action, ["personality"]), NR.personality, [0]);
  }
  assertEquals(seen, outcomes);
}, obstacles);

contained(
  "linux.seccomp: errnoRet and defaultErrnoRet are what the program hears",
  async (bundle) => {
    const rule = only("SCMP_ACT_ERRNO", ["getpid"], { errnoRet: ENOENT });
    assertEquals(await called(bundle, rule, NR.getpid), ENOENT);
    assertEquals(
      await called(bundle, only("SCMP_ACT_ERRNO", ["getpid"], { errnoRet: 0 }), NR.getpid),
      0,
    );
    const names = ["execve", "exit_group", "getpid", "mseal"];
    const profile = {
      defaultAction: "SCMP_ACT_ERRNO",
      syscalls: [{ names, action: "SCMP_ACT_ALLOW" }],
    };
    assertEquals(await called(bundle, profile, NR.getpid), 0);
    assertEquals(await called(bundle, profile, NR.personality), EPERM);
    assertEquals(await called(bundle, { ...profile, defaultErrnoRet: 77 }, NR.personality), 77);
  },
  obstacles,
);
