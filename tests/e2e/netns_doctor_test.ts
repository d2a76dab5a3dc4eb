// belay netns doctor: every kind of leftover is made, found and ended; what is alive is left alone.
//
// What is to be ended is made in namespaces of its own, process numbers too: doctor sees nothing else there. Where that
// cannot be, the one case that is the test's own is treated by doctor's code in this process.
import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import type { Remote } from "../../ffi/remote.ts";
import { Struct } from "../../ffi/call.ts";
import { AT, AT_FDCWD, O } from "../../ffi/abi/file_flags.ts";
import { CLONE, RLIMIT } from "../../ffi/abi/process_flags.ts";
import { newVeth } from "../../ffi/netlink/link.ts";
import { NetlinkSocket } from "../../ffi/netlink/socket.ts";
import { close, ioctl, openat, statx } from "../../ffi/syscalls/file.ts";
import { setns, unshare } from "../../ffi/syscalls/namespace.ts";
import { getrlimit, prlimit64 } from "../../ffi/syscalls/process.ts";
import { DescriptorMessage, SOCK, socketpair } from "../../ffi/syscalls/socket.ts";
import { examine } from "../../runtime/netns/doctor/examine.ts";
import type { Finding, FindingKind } from "../../runtime/netns/doctor/finding.ts";
import { host, withStub } from "../ffi_world.ts";
import { noFile, noProgram } from "../skip.ts";
import { held, HOLDS } from "./netns_holders.ts";
import { OtherUser } from "./other_user.ts";
import { Terminal } from "./tmux.ts";
import { belayPath, e2e, until, type World } from "./world.ts";

const noIp = [noProgram("ip", "iproute2"), noProgram("tc", "iproute2")];
const noTun = noFile("/dev/net/tun");
const NET = "/proc/thread-self/ns/net";
const TUNSETIFF = 0x400454ca;
const TUNSETPERSIST = 0x400454cb;
const [IFF_TAP, IFF_NO_PI] = [2, 0x1000];

/** Runs a bash script where doctor sees only what the script makes. What it prints, or why it failed. */
async function alone(world: World, script: string): Promise<string> {
  const head = `set -e -o pipefail; mount -t tmpfs none /run; mkdir /run/netns
    doctor() { "$BELAY" netns doctor "$@" || echo "exit code $?"; }\n`;
  const { code, stdout, stderr } = await world.start(
    [
      ...["unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"],
      ...["bash", "-c", head + script],
    ],
    { env: { BELAY: belayPath } },
  ).ended;
  if (code !== 0) throw new Error(`${script}\n${stdout}${stderr}`);
  return stdout;
}

e2e(
  "netns doctor removes a file without a namespace, and leaves one that may be in use",
  async (world) => {
    const stdout = await alone(
      world,
      `touch -d "1 minute ago" /run/netns/old; touch /run/netns/new
     doctor; ls /run/netns; echo --; doctor --fix; ls /run/netns`,
    );
    const [before = "", after = ""] = stdout.split("--\n");
    assertMatch(
      before,
      /^file: \/run\/netns\/old: no namespace is mounted on it.*\n {2}remedy: remove \/run\/netns\/old\n/m,
    );
    assertMatch(before, /exit code 1\nnew\nold\n$/);
    assertMatch(after, /^ {2}removed \/run\/netns\/old$/m);
    assertMatch(after, /^file: \/run\/netns\/new: .*younger than 10 seconds.*\n {2}left: /m);
  },
);

const DEAF = `ip link add v0 type veth peer name v1; ip tuntap add t0 mode tap
  tc qdisc add dev v0 ingress
  tc filter add dev v0 parent ffff: protocol all u32 match u32 0 0 action mirred egress redirect dev `;

e2e("netns doctor --fix heals a link whose filter sends to a TAP that is gone", async (world) => {
  const stdout = await alone(
    world,
    `${DEAF} t0; ip link del t0
     tc filter show dev v0 parent ffff:; echo --; doctor --json; echo --
     doctor --fix; tc filter show dev v0 parent ffff:; tc qdisc show dev v0; echo --; doctor`,
  );
  const [filter = "", json = "", fixed = "", then] = stdout.split("--\n");
  assertMatch(filter, /Redirect to device \\*/);
  const [finding, ...others]: Finding[] = JSON.parse(json.replace("exit code 1\n", ""));
  assertEquals([finding?.kind, finding?.link, finding?.certain, others], [
    "filter",
    "v0",
    true,
    [],
  ]);
  assertMatch(fixed, /\n {2}deleted the filter and the ingress qdisc from v0\n$/);
  assertEquals(then, "nothing was left behind\n");
}, [...noIp, noTun]);

e2e("netns doctor --fix deletes the dead filter alone where another lives", async (world) => {
  const stdout = await alone(
    world,
    `ip link add w0 type veth peer name w1; ${DEAF} t0
     tc filter add dev v0 parent ffff: protocol all u32 match u32 0 0 action mirred egress redirect dev w0
     ip link del t0; doctor --fix --yes; tc filter show dev v0 parent ffff:`,
  );
  assertMatch(stdout, /\n {2}deleted the filter from v0\nfilter/);
  assertMatch(stdout, /Redirect to device w0/);
}, [...noIp, noTun]);

e2e("netns doctor --fix asks on a terminal, and does what the answer says", async (world) => {
  const script = `${world.dir}/ask`;
  Deno.writeTextFileSync(
    script,
    `mount -t tmpfs none /run; mkdir /run/netns; ip tuntap add t0 mode tap
    for i in 1 2; do "$1" netns doctor --fix; echo "exit code $?, $(ip -o link | wc -l) links"; done\n`,
  );
  const terminal = await Terminal.open(world, { S: script, B: belayPath });
  try {
    await terminal.enter('unshare --mount --net --pid --fork --mount-proc bash "$S" "$B"');
    await terminal.wait(/\[y\/N\]\s*$/);
    await terminal.enter("n");
    await terminal.wait(/left: [^]*exit code 1, 2 links[^]*\[y\/N\]\s*$/);
    await terminal.enter("y");
    await terminal.wait(/deleted t0[^]*exit code 0, 1 links/);
  } finally {
    await terminal.close();
  }
}, [...noIp, noTun, noProgram("tmux")]);

e2e("netns doctor sees into more namespaces than its soft limit of descriptors", async () => {
  await withStub((stub) => {
    const opened = openat(AT_FDCWD, NET, O.O_RDONLY);
    const made = Array.from({ length: 80 }, () => {
      const [, fd] = stub.batch([unshare(CLONE.CLONE_NEWNET), opened]);
      return Number(stub.call(statx(fd, "", AT.AT_EMPTY_PATH)).ino);
    });
    const limit = host.thread.call(getrlimit(RLIMIT.RLIMIT_NOFILE));
    host.thread.call(prlimit64(RLIMIT.RLIMIT_NOFILE, { ...limit, soft: 64n }));
    try {
      using examination = examine(host, new Set(["holder"]), false);
      const found = examination.cases.map(({ finding }) => finding.netns);
      // The last one has a thread in it.
      assertEquals(made.filter((inode) => !found.includes(inode)), made.slice(-1));
    } finally {
      host.thread.call(prlimit64(RLIMIT.RLIMIT_NOFILE, limit));
    }
  });
});

e2e("netns doctor says what it takes where its limit cannot be raised", async (world) => {
  const script = `for i in $(seq 1 80); do echo "netns add n$i"; done | ip -batch -; ulimit -n 64
     setpriv --bounding-set=-sys_resource sh -c '"$BELAY" netns doctor 2>&1; echo "exit code $?"'`;
  const stdout = await alone(world, script);
  assertMatch(
    stdout,
    /more network namespaces than belay may have open \(ulimit -n\).*\nexit code 1\n$/,
  );
}, [...noIp, noProgram("setpriv", "util-linux")]);

e2e("netns doctor --fix asks before it deletes a TAP without a process", async (world) => {
  const stdout = await alone(
    world,
    `ip tuntap add t0 mode tap; doctor --fix; ip -o link show t0; echo --
     doctor --fix --yes; ip -o link`,
  );
  const [asked = "", done = ""] = stdout.split("--\n");
  assertMatch(
    asked,
    /^tap net:\[\d+\]: t0 is .*\n.*: delete t0\n {2}left: .*--yes.*\nexit code 1\n\d+: t0:/,
  );
  assertMatch(done, /\n {2}deleted t0\n1: lo:[^\n]*\n$/);
}, [...noIp, noTun]);

e2e("netns doctor --fix --yes leaves alone what is alive", async (world) => {
  const stdout = await alone(
    world,
    `ip netns add a; ip netns add b; ip -n a link add v0 type veth peer name v0 netns b
     ip -n b link add v9 type veth peer name eth0; ip link set eth0 up || true
     ip link add host0 type veth peer name eth0 netns a
     unshare --net sleep 1000 & sleeper=$!
     while [ "$(readlink /proc/$sleeper/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do :; done
     ip link add host1 type veth peer name eth0 netns $sleeper
     tc qdisc add dev host0 clsact
     tc filter add dev host0 ingress protocol all u32 match u32 0 0 action mirred egress redirect dev host1
     doctor --fix --yes
     ip netns; ip -n a -o link show v0; ip -o link show host1; tc filter show dev host0 ingress
     kill $sleeper; wait $sleeper || true`,
  );
  assertMatch(stdout, /^nothing was left behind\nb\b.*\na\b.*\n\d+: v0@/);
  assertMatch(stdout, /: host1@/);
  assertMatch(stdout, /Redirect to device host1/);
}, noIp);

/** What `doctor` tells of one namespace. It only looks. */
async function findings(world: World, netns: number, only: FindingKind): Promise<Finding[]> {
  const { stdout } = await world.belay(["netns", "doctor", "--json", `--only=${only}`]);
  return (JSON.parse(stdout) as Finding[]).filter((each) => each.netns === netns);
}

/** Treats the one case that is ours; what was done. */
function cure(netns: number, kind: FindingKind): string | undefined {
  using examination = examine(host, new Set([kind]), false);
  return examination.cases.find(({ finding }) => finding.netns === netns)?.cure();
}

e2e(
  "netns doctor finds a namespace that a socket alone keeps, and ends who keeps it",
  async (world) => {
    await held(HOLDS.socket, "", async ({ inode, pid, fd, stub }) => {
      const [finding, ...others] = await findings(world, inode, "holder");
      assertEquals([finding?.certain, others], [false, []]);
      assertMatch(finding?.remedy ?? "", new RegExp(`^end .* \\(${pid}\\)$`));
      const [holder] = finding?.holders ?? [];
      assertEquals([holder?.kind, holder?.pid, holder?.fd], ["socket", pid, fd]);
      assertMatch(cure(inode, "holder") ?? "", new RegExp(`^ended .* \\(${pid}\\)$`));
      assertEquals(stub.pidfd.alive(), false);
    });
  },
);

e2e(
  "netns doctor leaves a TAP alone as long as a process has it, and deletes it afterwards",
  async (world) => {
    await held(tapHolder, "", async ({ inode, fd, stub }) => {
      assertEquals(await findings(world, inode, "tap"), []);
      stub.call(close(fd ?? -1));
      const [finding] = await findings(world, inode, "tap");
      assertEquals([finding?.link, finding?.certain], ["tap7", false]);
      assertEquals(cure(inode, "tap"), "deleted tap7");
      assertEquals(await findings(world, inode, "tap"), []);
    });
  },
  noTun,
);

e2e("netns doctor leaves a TAP alone that a process took while doctor asked", async () => {
  let spare = -1;
  const holder = (stub: Remote) => {
    spare = openTun(stub);
    return tapHolder(stub);
  };
  await held(holder, "", ({ inode, fd, stub }) => {
    stub.call(close(fd ?? -1));
    using examination = examine(host, new Set<FindingKind>(["tap"]), false);
    const found = examination.cases.find(({ finding }) => finding.netns === inode);
    attach(stub, spare);
    assertThrows(() => found?.cure(), Error, "a process has tap7 by now");
    return Promise.resolve();
  });
}, noTun);

/** Has a persistent TAP, and a descriptor of its namespace. */
function tapHolder(stub: Remote): number {
  HOLDS.nsfs(stub, "");
  const tun = openTun(stub);
  attach(stub, tun);
  stub.call(ioctl(tun, TUNSETPERSIST, 1));
  return tun;
}

/** Whatever is attached to it will be in the namespace that the stub is in now. */
function openTun(stub: Remote): number {
  return stub.call(openat(AT_FDCWD, "/dev/net/tun", O.O_RDWR));
}

/** Makes the TAP tap7, or attaches to it. */
function attach(stub: Remote, tun: number): void {
  const name = new Uint8Array(40);
  name.set(new TextEncoder().encode("tap7"));
  const request = new Struct(40, [
    ...Array.from({ length: 4 }, (_, i) => [i, 1, name[i] ?? 0] as const),
    [16, 2, IFF_TAP | IFF_NO_PI],
  ]);
  stub.call(ioctl(tun, TUNSETIFF, request));
}

e2e("netns doctor looks at what it may and tells the rest when it is not root's", async (world) => {
  const user = new OtherUser(world);
  const { code, stdout, stderr } = await user.belay(["netns", "doctor", "--only=veth"]);
  assertEquals([code, stdout], [0, "nothing was left behind\n"], stderr);
  assertMatch(stderr, /not seen: what is inside of \d+ network namespaces/);
});

e2e("netns doctor proves by nsid that a veth's other end is nowhere", async (world) => {
  await withStub(async (stub) => {
    const open = () => stub.call(openat(AT_FDCWD, NET, O.O_RDONLY));
    const home = open();
    stub.call(unshare(CLONE.CLONE_NEWNET));
    const inode = Number(stub.call(statx(AT_FDCWD, NET, 0)).ino);
    const near = open();
    stub.call(unshare(CLONE.CLONE_NEWNET));
    const far = open();
    stub.call(setns(near, CLONE.CLONE_NEWNET));
    {
      using socket = NetlinkSocket.open(stub);
      // Both ends have the same number in their namespaces: the numbers alone prove nothing.
      socket.do(newVeth("near", "far", {}, { netns: far }));
    }
    stub.call(setns(home, CLONE.CLONE_NEWNET));
    assertEquals(await findings(world, inode, "veth"), []);
    // A descriptor that is under way in a socket is in no process's table.
    const [mine, its] = stub.call(socketpair(SOCK.SOCK_STREAM));
    stub.batch([new DescriptorMessage([far]).send(mine), close(far)]);
    const [finding, ...others] = await findings(world, inode, "veth");
    assertEquals([finding?.link, finding?.certain, others], ["near", false, []]);
    assertEquals(cure(inode, "veth"), "deleted near");
    assertEquals(await findings(world, inode, "veth"), []);
    stub.batch([close(mine), close(its), close(near), close(home)]);
    await until("it is gone", async () => (await findings(world, inode, "veth")).length === 0);
  });
});
