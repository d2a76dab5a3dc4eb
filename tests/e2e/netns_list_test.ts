// belay netns list: every kind of holder alone, and what is told of it, by both ways of looking.
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { call } from "../../ffi/call.ts";
import { AT_FDCWD, O } from "../../ffi/abi/file_flags.ts";
import { CLONE } from "../../ffi/abi/process_flags.ts";
import { close, openat } from "../../ffi/syscalls/file.ts";
import { unshare } from "../../ffi/syscalls/namespace.ts";
import { NetnsWorker } from "../../runtime/netns/netns_worker.ts";
import type { Holder } from "../../runtime/netns/discover/holder.ts";
import type { NetnsReport } from "../../runtime/netns/list/json.ts";
import { thread, withStub } from "../ffi_world.ts";
import { noFile, noProgram } from "../skip.ts";
import { descendants } from "./census.ts";
import { held, HOLDS, SOCKETS } from "./netns_holders.ts";
import { belayPath, e2e, until, type World } from "./world.ts";

const noIterators = noFile("/sys/kernel/btf/vmlinux");
const WAYS = [["bpf", noIterators], ["proc", undefined]] as const;

// What Deno opens at its first Worker it keeps.
const warm = Deno.uid() === 0 ? await NetnsWorker.enter(thread, "new") : undefined;
await warm?.[Symbol.asyncDispose]();

/**
 * What `--json` tells of one namespace; undefined when it is not there. Other tests run beside this one, and a belay of
 * theirs that visits the namespace to see its links holds it meanwhile: then it is asked again.
 */
async function report(
  world: World,
  inode: number,
  ...flags: string[]
): Promise<NetnsReport | undefined> {
  const { found } = await until("no other belay looks at it", async () => {
    const { stdout } = await world.ok(["netns", "list", "--json", ...flags]);
    const all: NetnsReport[] = JSON.parse(stdout);
    const found = all.find(({ netns }) => netns === inode);
    return !found?.holders.some(isVisitor) && { found };
  });
  return found;
}

/** A stub is named by the number of the descriptor that it was executed from. */
function isVisitor({ comm, pid }: Holder): boolean {
  return /^\d+$/.test(comm) && !descendants().some((each) => each.pid === pid);
}

async function holders(world: World, inode: number, ...flags: string[]): Promise<Holder[]> {
  return [...(await report(world, inode, ...flags))?.holders ?? []];
}

function file(world: World): string {
  const path = `${world.dir}/netns`;
  Deno.writeTextFileSync(path, "");
  return path;
}

for (const [way, obstacle] of WAYS) {
  for (const kind of ["nsfs", "socket", "tun", "mount"] as const) {
    e2e(
      `netns list --scan=${way} finds what one ${kind} alone keeps, and no more when it is gone`,
      async (world) => {
        const path = file(world);
        await held(HOLDS[kind], path, async ({ inode, pid, fd, stub }) => {
          const found = await report(world, inode, `--scan=${way}`);
          assertEquals(found?.links, ["lo"]);
          assertEquals(found?.own, false);
          assert(found?.owner === Number(Deno.statSync("/proc/self/ns/user").ino));
          const [holder, ...others] = found?.holders ?? [];
          assertEquals(others, []);
          assertEquals([holder?.kind, holder?.pid, holder?.fd], [kind, pid, fd]);
          if (kind === "mount") assertEquals(holder?.path, path);
          if (kind === "socket") {
            const link = Deno.readLinkSync(`/proc/${pid}/fd/${fd}`);
            assertEquals(`socket:[${holder?.inode}]`, link);
            assertEquals(holder?.protocol, "NETLINK_ROUTE");
          }
          if (fd === undefined) return;
          stub.call(close(fd));
          // By now another test's namespace may have the number.
          const now = await holders(world, inode, `--scan=${way}`);
          assertEquals(now.filter((each) => each.pid === pid), []);
        });
      },
      [obstacle, kind === "tun" ? noFile("/dev/net/tun") : undefined],
    );
  }

  e2e(`netns list --scan=${way} asks a namespace that is held with O_PATH`, async (world) => {
    const hold: typeof HOLDS.nsfs = (stub) =>
      stub.call(openat(AT_FDCWD, "/proc/thread-self/ns/net", O.O_PATH));
    await held(hold, "", async ({ inode, fd, pid }) => {
      const found = await report(world, inode, `--scan=${way}`);
      assertEquals([found?.owner, found?.links], [
        Number(Deno.statSync("/proc/self/ns/user").ino),
        ["lo"],
      ]);
      assertEquals(found?.holders.map((each) => [each.kind, each.pid, each.fd]), [[
        "nsfs",
        pid,
        fd,
      ]]);
    });
  }, obstacle);

  e2e(`netns list --scan=${way} tells sockets apart`, async (world) => {
    const all = (stub: Parameters<typeof HOLDS.socket>[0]) => {
      for (const [, family, type] of SOCKETS) stub.call(call("socket", family, type, 0));
      return undefined;
    };
    await held(all, "", async ({ inode, pid }) => {
      const found = await holders(world, inode, `--scan=${way}`);
      assertEquals(found.map(({ protocol }) => protocol), SOCKETS.map(([name]) => name));
      for (const { fd, inode } of found) {
        assertEquals(Deno.readLinkSync(`/proc/${pid}/fd/${fd}`), `socket:[${inode}]`);
      }
    });
  }, obstacle);

  e2e(
    `netns list --scan=${way} finds a thread that is elsewhere than its process`,
    async (world) => {
      await using worker = await NetnsWorker.enter(thread, "new");
      const found = await holders(world, worker.inode, `--scan=${way}`);
      const [inThread, ...others] = found.filter(({ kind }) =>
        kind !== "nsfs" && kind !== "socket"
      );
      assertEquals([inThread?.kind, inThread?.pid, others], ["thread", Deno.pid, []]);
      assertEquals(
        Number(Deno.statSync(`/proc/${Deno.pid}/task/${inThread?.tid}/ns/net`).ino),
        worker.inode,
      );
    },
    obstacle,
  );

  e2e(`netns list --scan=${way} names a process whose first thread has ended`, async (world) => {
    const entry = new URL("leaderless_entry.ts", import.meta.url).pathname;
    const running = world.start([Deno.execPath(), "run", "-A", "--no-check", entry]);
    try {
      const inode = await until("it tells", () => Number(running.stdout()) || undefined);
      await until(
        "its first thread has ended",
        () => /\) Z /.test(Deno.readTextFileSync(`/proc/${running.pid}/stat`)),
      );
      const [holder] = await holders(world, inode, `--scan=${way}`);
      assertEquals([holder?.kind, holder?.pid], ["thread", running.pid]);
      const { stdout } = await world.ok(["netns", "list", `--scan=${way}`]);
      const [, line] = new RegExp(`^${inode} +(.*)$`, "m").exec(stdout) ?? [];
      assertMatch(line ?? "", new RegExp(`\\(\\d+ of \\S+ ${running.pid}\\)`));
      assert(!line?.includes("of ?"), line);
    } finally {
      running.signal("SIGKILL");
      await running.ended;
    }
  }, obstacle);

  e2e(
    `netns list --scan=${way} finds processes, and the user namespace that owns`,
    async (world) => {
      await withStub(async (stub) => {
        stub.call(unshare(CLONE.CLONE_NEWUSER | CLONE.CLONE_NEWNET));
        const { pid } = stub.pidfd;
        const [net, user] = ["net", "user"].map((name) =>
          Number(Deno.statSync(`/proc/${pid}/ns/${name}`).ino)
        );
        const found = await report(world, net ?? 0, `--scan=${way}`);
        assertEquals(found?.owner, user);
        assertEquals(
          found?.holders.filter(({ kind }) => kind === "process").map((each) => each.pid),
          [
            pid,
          ],
        );
      });
    },
    obstacle,
  );
}

e2e("netns list --held-by chooses by holder, and --only refuses others", async (world) => {
  await held(HOLDS.socket, "", async ({ inode, stub }) => {
    const among = async (...flags: string[]) => await report(world, inode, ...flags) !== undefined;
    assert(await among("--held-by=socket"));
    // Beside a visitor (above) it is not held by the socket only.
    await until("the socket alone holds it", () => among("--held-by=socket", "--only"));
    assert(await among("--held-by=tun", "--held-by=socket"));
    assert(!await among("--held-by=process"));
    assert(!await among("--held-by=nsfs", "--held-by=mount"));
    const here = Number(Deno.statSync("/proc/self/ns/net").ino);
    assertEquals(await report(world, here, "--held-by=socket", "--only"), undefined);
    stub.call(unshare(CLONE.CLONE_NEWNS)); // still in the list: its mounts are another's
    assert(await among("--held-by=socket"));
  });
});

e2e("netns list explains in one line who keeps a namespace", async (world) => {
  await held(HOLDS.socket, "", async ({ inode, pid, fd }) => {
    const { stdout, line } = await until("the socket alone holds it", async () => {
      const { stdout } = await world.ok(["netns", "list", "--long"]);
      const line = stdout.split("\n").find((each) => each.startsWith(String(inode))) ?? "";
      return / {3}lo +socket NETLINK_ROUTE \d+, fd /.test(line) && { stdout, line };
    });
    assertStringIncludes(line, `, fd ${fd} of `);
    assertStringIncludes(line, ` (${pid})`);
    assertEquals(stdout.split("\n")[0]?.split(/ {2,}/), [
      "NETNS",
      "NSID",
      "OWNER",
      "LINKS",
      "HELD BY",
    ]);
  });
});

e2e(
  "netns list --tree hangs a namespace below its owner, and that below its parent",
  async (world) => {
    await withStub(async (stub) => {
      stub.call(unshare(CLONE.CLONE_NEWUSER | CLONE.CLONE_NEWNET));
      const inode = (name: string, of: number | string) =>
        Number(Deno.statSync(`/proc/${of}/ns/${name}`).ino);
      const { pid } = stub.pidfd;
      const { stdout } = await world.ok(["netns", "list", "--tree"]);
      const lines = stdout.split("\n");
      const at = lines.findIndex((line) => line.endsWith(`─ user:[${inode("user", pid)}]`));
      assert(at > 0, stdout);
      assertStringIncludes(lines[at + 1] ?? "", `└─ net:[${inode("net", pid)}]  `);
      const above = lines.slice(0, at).findLast((line) => line.startsWith("user:["));
      assertEquals(above, `user:[${inode("user", "self")}]`);
    });
  },
);

e2e("netns list --watch tells what comes and goes", async (world) => {
  const flags = ["--watch", "--interval=20", "--held-by=socket", "--only"];
  const watching = world.spawn(["netns", "list", ...flags]);
  await until("the first table", () => watching.stdout().startsWith("NETNS"));
  await held(HOLDS.socket, "", async ({ inode, fd, stub }) => {
    await until("it comes", () => watching.stdout().includes(`\n+ ${inode}   socket NETLINK`));
    stub.call(close(fd ?? -1));
    await until("it goes", () => watching.stdout().includes(`\n- ${inode}   socket NETLINK`));
  });
  watching.signal("SIGTERM");
  assertEquals((await watching.ended).code, 128 + 15);
});

e2e(
  "netns list finds the same without the kernel's iterators, and says what it cannot see",
  async (world) => {
    // In a user namespace of its own bpf(2) is refused, and so are other processes' namespaces.
    const { code, stdout, stderr } = await world.start([
      ...["unshare", "--user", "--map-root-user", "--net", belayPath],
      ...["netns", "list", "--json"],
    ]).ended;
    assertEquals(code, 0, stderr);
    const [own, ...others] = JSON.parse(stdout) as NetnsReport[];
    assertEquals([own?.own, own?.links, others], [true, ["lo"], []]);
    assertStringIncludes(stderr, "not seen: ");
    assertStringIncludes(stderr, "processes whose namespaces or descriptors may not be read");
  },
);

e2e("netns list --json tells by which number belay's namespace knows another", async (world) => {
  await held(HOLDS.nsfs, "", async ({ inode, pid, fd }) => {
    // Numbers last as long as both namespaces: it is given in one that goes with the test.
    const script = `ip netns set "$1" 7 && exec "$2" netns list --json`;
    const inside = ["unshare", "--net", "--mount", "sh", "-c", mounted(pid, fd ?? -1) + script];
    const { code, stdout, stderr } = await world.start([...inside, "sh", "held", belayPath]).ended;
    assertEquals(code, 0, stderr);
    const all: NetnsReport[] = JSON.parse(stdout);
    assertEquals(all.find(({ netns }) => netns === inode)?.nsid, 7);
  });
}, noProgram("ip", "iproute2"));

/** A script's beginning: a private /run/netns, in which a descriptor's namespace has the name `held`. */
function mounted(pid: number, fd: number): string {
  return `mount -t tmpfs none /run && mkdir /run/netns && touch /run/netns/held &&
    mount --bind /proc/${pid}/fd/${fd} /run/netns/held && `;
}
