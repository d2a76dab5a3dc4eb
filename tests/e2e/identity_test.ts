import { assert, assertEquals, assertThrows } from "@std/assert";
import { exitStatus } from "../../ffi/exit_status.ts";
import {
  identify,
  type Identity,
  IdentityOutOfSight,
  reopen,
  type Rung,
} from "../../ffi/identity.ts";
import { observe } from "../../ffi/observer.ts";
import { Pidfd } from "../../ffi/pidfd.ts";
import { openNamespace } from "../../ffi/process_namespaces.ts";
import { CLONE, WAIT } from "../../ffi/abi/process_flags.ts";
import { SIGNAL } from "../../ffi/abi/signals.ts";
import { SyscallError } from "../../ffi/syscall_error.ts";
import { close, readlinkat } from "../../ffi/syscalls/file.ts";
import { exit_group, getpid, waitid } from "../../ffi/syscalls/process.ts";
import { tolerate } from "../../ffi/call.ts";
import { noFile, noProgram, notRoot, testUnless } from "../skip.ts";
import { host, openFds, thread, withStub } from "../ffi_world.ts";

const RUNGS: readonly Rung[] = ["handle", "inode", "start time"];

/** The rungs that this kernel has: a name that is asked for on a higher one comes from the best below it. */
const here = RUNGS.filter((rung) => {
  using self = Pidfd.open(thread, thread.call(getpid()));
  return identify(thread, self, rung).rung === rung;
});

for (const rung of RUNGS) {
  const obstacle = here.includes(rung) ? undefined : `this kernel is too old for ${rung}`;

  testUnless(obstacle, `reopen() finds the process when it was named by ${rung}`, async () => {
    const before = openFds();
    await withStub((stub) => {
      const identity = identify(thread, stub.pidfd, rung);
      assertEquals(identity.rung, rung);
      const stored: Identity = JSON.parse(JSON.stringify(identity));
      using found = reopen(thread, stored);
      assert(found !== undefined && found.alive());
      assertEquals(found.pid, stub.pidfd.pid);
      assertEquals(identify(thread, found, rung), identity);
    });
    assertEquals(openFds(), before);
  });

  testUnless(
    obstacle,
    `reopen() gives a zombie that is not alive when it was named by ${rung}`,
    () => {
      const stub = host.spawn("zombie");
      using pidfd = stub.pidfd;
      const identity = identify(thread, pidfd, rung);
      pidfd.signal(SIGNAL.SIGKILL);
      stub[Symbol.dispose]();
      pidfd.waitSync();
      using found = reopen(thread, identity);
      assert(found !== undefined && !found.alive());
      assertEquals(identify(thread, pidfd, rung), identity); // a zombie still has its name
      pidfd.reap();
    },
  );

  testUnless(
    obstacle,
    `reopen() gives undefined when the process named by ${rung} was reaped`,
    () => {
      const stub = host.spawn("gone");
      using pidfd = stub.pidfd;
      const identity = identify(thread, pidfd, rung);
      stub[Symbol.dispose]();
      pidfd.reap();
      assertEquals(reopen(thread, identity), undefined);
      assertThrows(() => identify(thread, pidfd, "start time"), SyscallError, "ESRCH");
    },
  );

  testUnless(
    obstacle,
    `reopen() gives undefined when ${rung} was taken in another boot`,
    async () => {
      await withStub((stub) => {
        const identity = identify(thread, stub.pidfd, rung);
        const bootId = "00000000-0000-0000-0000-000000000000";
        assertEquals(reopen(thread, { ...identity, bootId }), undefined);
      });
    },
  );

  testUnless(
    obstacle,
    `reopen() refuses strangers when the mark by ${rung} is not theirs`,
    async () => {
      await withStub(async (stub) => {
        await withStub((other) => {
          const identity = identify(thread, stub.pidfd, rung);
          // By handle the number is a label; on the other rungs it is where to look.
          using found = reopen(thread, { ...identity, pid: other.pidfd.pid });
          // Two processes may start in one tick of 10 ms: that rung alone could take one for the other.
          if (rung !== "start time") assertEquals(found !== undefined, rung === "handle");
        });
      });
    },
  );
}

testUnless(
  here.includes("handle") ? undefined : "no pidfs handles",
  "reopen() goes by the inode in the handle when open_by_handle_at is forbidden",
  async () => {
    await withStub((stub) => {
      const identity = identify(thread, stub.pidfd);
      observe({ before: (made) => made.name === "open_by_handle_at" ? 1 : undefined, after() {} });
      try {
        using found = reopen(thread, identity);
        assert(found !== undefined && found.alive());
        assertEquals(reopen(thread, { ...identity, pid: 1 }), undefined);
      } finally {
        observe(undefined);
      }
    });
  },
);

Deno.test("reopen() says that it cannot tell when the name comes from another pid namespace", () => {
  const stub = host.spawn("gone");
  using pidfd = stub.pidfd;
  const identity = { ...identify(thread, pidfd), pidNamespace: "pid:[1]" };
  if (identity.rung === "handle") reopen(thread, identity)?.[Symbol.dispose](); // found all the same
  stub[Symbol.dispose]();
  pidfd.reap();
  assertThrows(() => reopen(thread, identity), IdentityOutOfSight, "another pid namespace");
});

/** In a pid namespace of its own: kills a process, gives its number to another, looks for the first. */
testUnless(
  [notRoot(), noProgram("unshare", "util-linux"), noFile("/proc/sys/kernel/ns_last_pid")],
  "reopen() is not deceived when the number belongs to another process",
  () => {
    const { success, stdout, stderr } = new Deno.Command("unshare", {
      args: [
        ...["--pid", "--fork", "--mount-proc", Deno.execPath(), "run", "-A", "--no-check"],
        new URL("./identity_reuse.ts", import.meta.url).pathname,
      ],
    }).outputSync();
    assert(success, new TextDecoder().decode(stderr));
    const report = JSON.parse(new TextDecoder().decode(stdout));
    assertEquals(report.deceivedByNumber, true, "the number was not reused: nothing was tested");
    assertEquals(report.found, Object.fromEntries(here.map((rung) => [rung, false])));
  },
);

for (const rung of ["pidfd", "proc"] as const) {
  testUnless(
    notRoot(),
    `openNamespace() opens a process's own when it goes by ${rung}`,
    async () => {
      const before = openFds();
      await withStub((stub) => {
        const flags = CLONE.CLONE_NEWUTS | CLONE.CLONE_NEWNET;
        const child = stub.clone("child", { flags, exitSignal: SIGNAL.SIGCHLD });
        using pidfd = child.pidfd;
        const link = (fd: number) => thread.call(readlinkat(-100, `/proc/self/fd/${fd}`));
        for (
          const entry of ["uts", "net", "mnt", "pid", "user", "cgroup", "ipc", "time"] as const
        ) {
          const fd = openNamespace(thread, pidfd, entry, rung);
          assertEquals(link(fd), Deno.readLinkSync(`/proc/${pidfd.pid}/ns/${entry}`));
          const own = Deno.readLinkSync(`/proc/self/ns/${entry}`);
          assertEquals(link(fd) === own, entry !== "uts" && entry !== "net", entry);
          thread.call(close(fd));
        }
        child[Symbol.dispose]();
        pidfd.waitSync();
      });
      assertEquals(openFds(), before);
    },
  );

  Deno.test(`openNamespace() throws ESRCH when the process is gone and it goes by ${rung}`, () => {
    const stub = host.spawn("gone");
    using pidfd = stub.pidfd;
    stub[Symbol.dispose]();
    pidfd.reap();
    assertThrows(() => openNamespace(thread, pidfd, "net", rung), SyscallError, "ESRCH");
  });
}

/** How a process that is not our child ended, as far as the kernel tells. */
function grandchild(end: (child: ReturnType<typeof host.spawn>) => void) {
  const stub = host.spawn("parent");
  const child = stub.clone("child", { flags: 0, exitSignal: SIGNAL.SIGCHLD });
  using pidfd = child.pidfd;
  const running = exitStatus(thread, pidfd);
  end(child);
  pidfd.waitSync();
  const zombie = exitStatus(thread, pidfd);
  child[Symbol.dispose]();
  // With its parent gone it is reaped by init, or by whoever is the subreaper: us, where other tests made us one.
  stub[Symbol.dispose]();
  stub.pidfd.reap();
  stub.pidfd[Symbol.dispose]();
  thread.call(tolerate(waitid(pidfd.fd, WAIT.WEXITED), ["ECHILD"], "init's by now, not ours"));
  let gone;
  for (let i = 0; i < 100 && gone === undefined; i++) {
    gone = exitStatus(thread, pidfd);
    if (gone === undefined) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
  }
  return { running, zombie, gone, pid: pidfd.pid };
}

/** PIDFD_INFO_EXIT is from kernel 6.15. */
const tells = (() => {
  const stub = host.spawn("probe");
  stub[Symbol.dispose]();
  using pidfd = stub.pidfd;
  pidfd.reap();
  return exitStatus(thread, pidfd) === undefined ? "this kernel does not tell it" : undefined;
})();

testUnless(tells, "exitStatus() tells a stranger's exit code when it has been reaped", () => {
  const { running, zombie, gone, pid } = grandchild((child) => {
    try {
      child.call(exit_group(42));
    } catch {
      // StubGone: it ends instead of answering.
    }
  });
  assertEquals([running, zombie, gone], [undefined, undefined, { pid, code: 42 }]);
});

testUnless(tells, "exitStatus() tells the signal when it ended a stranger", () => {
  const { gone, pid } = grandchild((child) => child.pidfd.signal(SIGNAL.SIGKILL));
  assertEquals(gone, { pid, signal: 9 });
});
