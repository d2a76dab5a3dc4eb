// User namespaces by handle: root's, and one id's of whoever runs this.
import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import type { MappedRange } from "../../ffi/id_map.ts";
import type { Pidfd } from "../../ffi/pidfd.ts";
import { Recorder } from "../../ffi/recorder.ts";
import { SyscallError } from "../../ffi/syscall_error.ts";
import {
  IdMapError,
  NamespaceProcessGone,
  type OwnedNamespaces,
  UserNamespaces,
} from "../../ffi/user_namespace.ts";
import { close, ioctl } from "../../ffi/syscalls/file.ts";
import { setns } from "../../ffi/syscalls/namespace.ts";
import { readFile } from "../../ffi/files.ts";
import { AT_FDCWD } from "../../ffi/abi/file_flags.ts";
import { waitid } from "../../ffi/syscalls/process.ts";
import { CLONE, WAIT } from "../../ffi/abi/process_flags.ts";
import { SIGNAL } from "../../ffi/abi/signals.ts";
import { host, openFds, thread, within, withStub } from "../ffi_world.ts";
import { noFile, notRoot, testUnless } from "../skip.ts";

const NO_NAMESPACES = noFile("/proc/self/ns/user");
const MANY = [
  { containerID: 0, hostID: 100000, size: 1000 },
  { containerID: 1000, hostID: 5000, size: 1 },
  { containerID: 70000, hostID: 200000, size: 10 },
];
const ONE = [{ containerID: 7, hostID: 300000, size: 80000 }];
/** What anybody may map. */
const OWN = {
  uids: [{ containerID: 0, hostID: Deno.uid() ?? 0, size: 1 }],
  gids: [{ containerID: 0, hostID: Deno.gid() ?? 0, size: 1 }],
};

/** The maps of a namespace, as a process in it sees them; its setgroups file, too. */
function inside(userns: number): Promise<string[]> {
  return withStub((stub) => {
    const [there = -1] = stub.give([userns]);
    stub.batch([setns(there, CLONE.CLONE_NEWUSER), close(there)]);
    const read = (name: string) => readFile(thread, AT_FDCWD, `/proc/${stub.pidfd.pid}/${name}`);
    return ["uid_map", "gid_map", "setgroups"].map((name) =>
      read(name).trim().split("\n").map((line) => line.trim().replace(/ +/g, ":")).join(" ")
    );
  });
}

function text(ranges: readonly MappedRange[]): string {
  return ranges.map(({ containerID, hostID, size }) => `${containerID}:${hostID}:${size}`)
    .join(" ");
}

function nameOf(fd: number): string {
  return Deno.readLinkSync(`/proc/self/fd/${fd}`);
}

/** The children of this process, by number. */
function children(): string {
  return Deno.readTextFileSync(`/proc/self/task/${Deno.pid}/children`);
}

testUnless([notRoot(), NO_NAMESPACES], "getUsernsFd() maps several ranges", async () => {
  const [fds, before] = [openFds(), children()];
  {
    using namespaces = UserNamespaces.start(host);
    const userns = namespaces.getUsernsFd(MANY, ONE);
    assertEquals(await inside(userns), [text(MANY), text(ONE), "allow"]);
    thread.call(close(userns));
  }
  assertEquals([openFds(), children()], [fds, before]);
});

testUnless([notRoot(), NO_NAMESPACES], "getUsernsFds() gives each its own, from one stub", () => {
  const [fds, before] = [openFds(), children()];
  {
    using namespaces = UserNamespaces.start(host);
    const stubs = children();
    const requests = Array.from({ length: 100 }, (_, i) => ({
      uidMappings: [{ containerID: 0, hostID: 100000 + i, size: 1 }],
      gidMappings: ONE,
    }));
    for (let round = 0; round < 2; round++) {
      const made = namespaces.getUsernsFds(requests);
      assertEquals(new Set(made.map(nameOf)).size, 100);
      assertNotEquals(nameOf(made[0] ?? -1), Deno.readLinkSync("/proc/self/ns/user"));
      assertEquals(children(), stubs); // no child, nor zombie
      thread.batch(made.map((fd) => close(fd)));
    }
  }
  assertEquals([openFds(), children()], [fds, before]);
});

testUnless(NO_NAMESPACES, "getUsernsFd() throws IdMapError, and makes nothing", () => {
  const recorder = new Recorder();
  using namespaces = UserNamespaces.start(recorder);
  const wrong = [{ containerID: 0, hostID: 1, size: 0 }];
  assertThrows(() => namespaces.getUsernsFd(MANY, wrong), IdMapError, "gidMappings[0].size: ");
  assertThrows(() => namespaces.getUsernsFd([], MANY), IdMapError, "uidMappings: must have");
  assertEquals(recorder.calls, []);
});

testUnless(
  [notRoot(), NO_NAMESPACES],
  "getUsernsFd() leaves nothing behind when the kernel refuses the maps",
  async () => {
    // A namespace cannot map ids that the one around it does not have.
    const [fds, before] = [openFds(), children()];
    using around = UserNamespaces.start(host);
    const userns = around.getUsernsFd(ONE, ONE);
    await withStub((stub) => {
      const [there = -1] = stub.give([userns]);
      stub.batch([setns(there, CLONE.CLONE_NEWUSER), close(there)]);
      using namespaces = new UserNamespaces(thread, stub);
      const unmapped = [{ containerID: 0, hostID: 0, size: 1 }];
      for (let i = 0; i < 3; i++) {
        const error = assertThrows(() => namespaces.getUsernsFd(unmapped, unmapped), SyscallError);
        assert(error.is("EPERM"), String(error));
      }
    });
    around[Symbol.dispose]();
    thread.call(close(userns));
    assertEquals([openFds(), children()], [fds, before]);
  },
);

/** An object with some of its methods replaced. */
function changed<T extends object>(target: T, methods: Partial<T>): T {
  return new Proxy(target, {
    get(_, name) {
      const value = Reflect.get(methods, name) ?? Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

testUnless(
  NO_NAMESPACES,
  "getUsernsFd() throws NamespaceProcessGone when its child was killed",
  async () => {
    await withStub((stub) => {
      const fds = openFds();
      const murdering = changed(stub, {
        cloneIdle(...args) {
          const child = stub.cloneIdle(...args);
          child.signal(SIGNAL.SIGKILL);
          child.waitSync();
          return child;
        },
      });
      using namespaces = new UserNamespaces(thread, murdering);
      const get = () => namespaces.getUsernsFd(OWN.uids, OWN.gids);
      assertThrows(get, NamespaceProcessGone, "was killed");
      namespaces[Symbol.dispose]();
      assertEquals(openFds(), fds);
    });
  },
);

testUnless(
  NO_NAMESPACES,
  "getUsernsFd() returns the namespace also when another reaper was faster than its waitid",
  async () => {
    await withStub((stub) => {
      let stolen = 0;
      const robbed = changed(thread, {
        call(made) {
          if (made.name === "waitid") {
            assert(thread.call(waitid(Number(made.args[1]), WAIT.WEXITED)) !== undefined);
            stolen++;
          }
          return thread.call(made);
        },
      });
      using namespaces = new UserNamespaces(robbed, stub);
      const userns = namespaces.getUsernsFd(OWN.uids, OWN.gids);
      assertNotEquals(nameOf(userns), Deno.readLinkSync("/proc/self/ns/user"));
      thread.call(close(userns));
      assertEquals(stolen, 1);
    });
  },
);

testUnless(
  NO_NAMESPACES,
  "UserNamespaces lets children go that nobody holds any more",
  async () => {
    await withStub(async (stub) => {
      const born: Pidfd[] = [];
      const failing = changed(stub, {
        cloneIdle(...args) {
          born.push(stub.cloneIdle(...args));
          throw new Error("after clone3");
        },
      });
      using namespaces = new UserNamespaces(thread, failing);
      assertThrows(() => namespaces.getUsernsFd(OWN.uids, OWN.gids), Error, "after clone3");
      assertEquals(born.map((each) => each.alive()), [true]);
      namespaces[Symbol.dispose]();
      for (const idle of born) {
        await within(5000, "ending", idle.wait());
        idle.reap();
        idle[Symbol.dispose]();
      }
    });
  },
);

testUnless(NO_NAMESPACES, "withNamespacesOwnedBy() makes namespaces of that owner", () => {
  const NS_GET_USERNS = 0xb701;
  const [fds, before] = [openFds(), children()];
  {
    using namespaces = UserNamespaces.start(host);
    const userns = namespaces.getUsernsFd(OWN.uids, OWN.gids);
    const flags = CLONE.CLONE_NEWNET | CLONE.CLONE_NEWIPC | CLONE.CLONE_NEWUTS;
    const made = namespaces.withNamespacesOwnedBy(userns, flags, ({ open, pidfd }) => {
      assert(pidfd.alive());
      return (["net", "ipc", "uts"] as const).map(open);
    });
    for (const [i, entry] of ["net", "ipc", "uts"].entries()) {
      const fd = made[i] ?? -1;
      assertNotEquals(nameOf(fd), Deno.readLinkSync(`/proc/self/ns/${entry}`));
      const owner = thread.call(ioctl(fd, NS_GET_USERNS));
      assertEquals(nameOf(owner), nameOf(userns));
      thread.call(close(owner));
    }
    thread.batch([...made, userns].map((fd) => close(fd)));
  }
  assertEquals([openFds(), children()], [fds, before]);
});

testUnless(
  NO_NAMESPACES,
  "withNamespacesOwnedBy() throws when the process was killed",
  async () => {
    await withStub((stub) => {
      using namespaces = new UserNamespaces(thread, stub);
      const userns = namespaces.getUsernsFd(OWN.uids, OWN.gids);
      const fds = openFds();
      const killing = ({ pidfd }: OwnedNamespaces) => {
        pidfd.signal(SIGNAL.SIGKILL);
        pidfd.waitSync();
        return "what was found by its number";
      };
      assertThrows(
        () => namespaces.withNamespacesOwnedBy(userns, CLONE.CLONE_NEWUTS, killing),
        NamespaceProcessGone,
      );
      const throwing = () => {
        throw new Error("the caller's");
      };
      assertThrows(
        () => namespaces.withNamespacesOwnedBy(userns, CLONE.CLONE_NEWUTS, throwing),
        Error,
        "the caller's",
      );
      assertEquals(openFds(), fds);
      thread.call(close(userns));
    });
  },
);

Deno.test("withNamespacesOwnedBy() refuses flags that would not put the process there", () => {
  using namespaces = UserNamespaces.start(new Recorder());
  const never = () => {
    throw new Error("called");
  };
  for (
    const [flags, told] of [
      [CLONE.CLONE_NEWUSER | CLONE.CLONE_NEWNET, "CLONE_NEWUSER: "],
      [CLONE.CLONE_NEWPID | CLONE.CLONE_NEWNET, "CLONE_NEWPID|CLONE_NEWNET: only CLONE_NEWNET"],
      [CLONE.CLONE_NEWTIME, "CLONE_NEWTIME: only"],
      [0, "0: only"],
    ] as const
  ) {
    assertThrows(() => namespaces.withNamespacesOwnedBy(3, flags, never), RangeError, told);
  }
});
