import { assertEquals } from "@std/assert";
import { modeOf } from "../../runtime/cgroup/cgroup_mode.ts";
import { cgroupWorld, parseProcCgroup } from "../../runtime/cgroup/cgroup_mounts.ts";
import { parseMountinfo } from "../../runtime/cgroup/mountinfo.ts";

const HYBRID = `23 1 254:0 / / rw,relatime - ext4 /dev/root rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
42 31 0:39 / /sys/fs/cgroup/mine rw,relatime - cgroup cgroup rw,name=mine
`;

function nothingOffered(): never {
  throw new Error("asked for cgroup2's controllers");
}

Deno.test("cgroupWorld() finds every hierarchy once when v1 and cgroup2 are mounted", () => {
  const own = "5:memory:/user/me\n3:cpu,cpuacct:/\n1:name=systemd:/init.scope\n0::/init.scope\n";
  assertEquals(cgroupWorld(HYBRID, own, nothingOffered), {
    mode: "v1",
    hierarchies: [
      {
        version: 1,
        controllers: ["cpu", "cpuacct"],
        mountPoint: "/sys/fs/cgroup/cpu,cpuacct",
        own: "/sys/fs/cgroup/cpu,cpuacct",
      },
      {
        version: 1,
        controllers: ["memory"],
        mountPoint: "/sys/fs/cgroup/memory",
        own: "/sys/fs/cgroup/memory/user/me",
      },
      {
        version: 1,
        controllers: ["name=systemd"],
        mountPoint: "/sys/fs/cgroup/systemd",
        own: "/sys/fs/cgroup/systemd/init.scope",
      },
      {
        version: 2,
        controllers: [],
        mountPoint: "/sys/fs/cgroup/unified",
        own: "/sys/fs/cgroup/unified/init.scope",
      },
    ],
  });
});

Deno.test("cgroupWorld() is v2 and asks what it offers when cgroup2 alone has controllers", () => {
  const mounts = `31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate
32 23 0:37 / /run/systemd/old rw - cgroup cgroup rw,name=systemd
`;
  const world = cgroupWorld(mounts, "0::/user.slice/s.scope\n", (mountPoint) => {
    assertEquals(mountPoint, "/sys/fs/cgroup");
    return ["cpu", "memory"];
  });
  assertEquals(world, {
    mode: "v2",
    hierarchies: [{
      version: 2,
      controllers: ["cpu", "memory"],
      mountPoint: "/sys/fs/cgroup",
      own: "/sys/fs/cgroup/user.slice/s.scope",
    }],
  });
});

Deno.test("cgroupWorld() has no mode when nothing is mounted", () => {
  assertEquals(cgroupWorld("", "0::/\n", nothingOffered), { mode: "none", hierarchies: [] });
});

Deno.test("cgroupWorld() finds its own cgroup when a container shows a part of the hierarchy", () => {
  const mount = "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
  const own = (membership: string) =>
    cgroupWorld(mount, membership, nothingOffered).hierarchies[0]?.own;
  // Without a cgroup namespace both are the host's paths.
  assertEquals(own("5:memory:/docker/abc\n"), "/sys/fs/cgroup/memory");
  assertEquals(own("5:memory:/docker/abc/child\n"), "/sys/fs/cgroup/memory/child");
  // A path that the mount does not show: its top has to do.
  assertEquals(own("5:memory:/docker/abcdef\n"), "/sys/fs/cgroup/memory");
  assertEquals(own("5:memory:/../other\n"), "/sys/fs/cgroup/memory");
  assertEquals(own(""), "/sys/fs/cgroup/memory");
});

Deno.test("cgroupWorld() leaves out mounts that others cover", () => {
  const covered = `${HYBRID}50 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n`;
  const { mode, hierarchies } = cgroupWorld(covered, "0::/\n", () => []);
  assertEquals([mode, hierarchies.map(({ mountPoint }) => mountPoint)], ["v2", ["/sys/fs/cgroup"]]);
});

Deno.test("cgroupWorld() prefers the usual place when a hierarchy is mounted twice", () => {
  const twice = `20 1 0:32 / /mnt/a rw - cgroup cgroup rw,memory
21 1 0:32 /x /sys/fs/cgroup/part rw - cgroup cgroup rw,memory
22 1 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
`;
  const { hierarchies } = cgroupWorld(twice, "2:memory:/\n", nothingOffered);
  assertEquals(hierarchies.map(({ mountPoint }) => mountPoint), ["/sys/fs/cgroup/memory"]);
});

Deno.test("parseProcCgroup() keeps colons in paths", () => {
  assertEquals(parseProcCgroup("4:cpu,cpuacct:/a:b\n0::/\nnonsense\n"), [
    { controllers: ["cpu", "cpuacct"], path: "/a:b" },
    { controllers: [], path: "/" },
  ]);
});

Deno.test("parseMountinfo() undoes the kernel's escapes", () => {
  const [entry] = parseMountinfo(
    "1 2 0:1 / /a\\040b\\134c rw shared:1 master:2 - cgroup none rw,pids\n",
  );
  assertEquals(entry?.mountPoint, "/a b\\c");
  assertEquals(entry?.superOptions, ["rw", "pids"]);
});

Deno.test("the parsers take every text", () => {
  const seed = crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
  const random = generator(seed);
  const pick = (...choices: string[]) => choices[random() % choices.length] ?? "";
  const path = () => {
    let text = "";
    for (let i = random() % 4; i > 0; i--) text += pick("/", "/a", "/b", "/..", "/c\\040d", ":");
    return text === "" ? "/" : text;
  };
  const options = () => pick("rw", "rw,memory", "memory,cpu", "name=systemd", "", "rw,name=x");
  const line = () =>
    pick(
      `${random() % 9} ${random() % 9} 0:1 ${path()} ${path()} rw - ` +
        `${pick("cgroup", "cgroup2", "tmpfs")} none ${options()}`,
      `${random() % 9}:${pick("", "memory", "cpu,memory", "name=systemd")}:${path()}`,
    );
  for (let round = 0; round < 3000; round++) {
    let text = "";
    for (let i = random() % 9; i > 0; i--) text += `${line()}\n`;
    for (let i = random() % 3; i > 0; i--) {
      const at = random() % (text.length + 1);
      text = text.slice(0, at) + pick("", " ", "\n", "/", "\0", "9", ",") + text.slice(at + 1);
    }
    try {
      const { hierarchies } = cgroupWorld(text, text, () => []);
      for (const { own, mountPoint } of hierarchies) {
        assertEquals(own.startsWith(mountPoint), true);
        assertEquals(own.slice(mountPoint.length).split("/").includes(".."), false);
      }
    } catch (error) {
      throw new Error(`seed ${seed}: ${JSON.stringify(text)}`, { cause: error });
    }
  }
});

/** xorshift32. */
function generator(seed: number): () => number {
  let state = seed || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

Deno.test("modeOf() is v1 only where a controller of v1 limits", () => {
  const systemd = { version: 1, controllers: ["name=systemd"] } as const;
  const pids = { version: 1, controllers: ["pids"] } as const;
  const unified = { version: 2, controllers: [] } as const;
  assertEquals(modeOf([]), "none");
  assertEquals(modeOf([systemd]), "none");
  assertEquals(modeOf([unified]), "v2");
  assertEquals(modeOf([systemd, unified]), "v2");
  assertEquals(modeOf([systemd, pids, unified]), "v1");
});
