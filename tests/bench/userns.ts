// getUsernsFd, one after the other and a hundred at once, beside the naive way (containerd #9218's) and unshare(1).
import { syscallNumber } from "../../ffi/abi/syscall_numbers.ts";
import { AT_FDCWD, O } from "../../ffi/abi/file_flags.ts";
import { CLONE, P, WAIT } from "../../ffi/abi/process_flags.ts";
import { SIGNAL } from "../../ffi/abi/signals.ts";
import { Host } from "../../ffi/host.ts";
import { syscall } from "../../ffi/libc.ts";
import type { Remote } from "../../ffi/remote.ts";
import { UserNamespaces } from "../../ffi/user_namespace.ts";
import { close, openat, write } from "../../ffi/syscalls/file.ts";
import { capture } from "../../scripts/step.ts";
import { median } from "./meter.ts";

const AT_ONCE = 100;
const RANGES = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
const MAP = "0 100000 65536\n";
const KILL = Deno.build.arch === "x86_64" ? 62 : 129;

/** Milliseconds for one namespace. */
export interface UsernsRow {
  readonly name: string;
  readonly ms: number;
  readonly range: readonly [number, number];
}

/** Measures all ways in turns; each round makes a hundred namespaces. */
export async function benchUserns(scratch: string, rounds: number): Promise<UsernsRow[]> {
  const host = new Host("/tmp");
  const { thread } = host;
  using namespaces = UserNamespaces.start(host);
  const stub = host.spawn("naive");
  const closeAll = (fds: readonly number[]) => thread.batch(fds.map((fd) => close(fd)));
  /** Of a hundred calls, the middle one: others on the machine make single ones long. */
  const oneByOne = (make: () => number) => {
    const times: number[] = [];
    closeAll(Array.from({ length: AT_ONCE }, () => {
      const start = performance.now();
      const fd = make();
      times.push(performance.now() - start);
      return fd;
    }));
    return median(times);
  };
  const atOnce = () => {
    const requests = Array(AT_ONCE).fill({ uidMappings: RANGES, gidMappings: RANGES });
    const start = performance.now();
    const fds = namespaces.getUsernsFds(requests);
    const ms = performance.now() - start;
    closeAll(fds);
    return ms / AT_ONCE;
  };
  const ways: [string, () => number | Promise<number>][] = [
    [
      "getUsernsFd, one after the other",
      () => oneByOne(() => namespaces.getUsernsFd(RANGES, RANGES)),
    ],
    [`getUsernsFds, ${AT_ONCE} at once`, atOnce],
    ["the naive way: number, kill, waitpid", () => oneByOne(() => naive(host, stub))],
  ];
  const program = await unshare(scratch);
  if (typeof program === "string") console.log(`SKIP unshare -U: ${program}`);
  else ways.push(["unshare -U, with the same maps", program]);
  try {
    const times = ways.map((): number[] => []);
    for (let round = 0; round <= rounds; round++) {
      for (const [i, [, way]] of ways.entries()) {
        const ms = await way();
        if (round > 0) times[i]?.push(ms); // the first one compiles
      }
    }
    return ways.map(([name], i) => {
      const each = times[i] ?? [];
      return { name, ms: median(each), range: [Math.min(...each), Math.max(...each)] as const };
    });
  } finally {
    stub[Symbol.dispose]();
    stub.pidfd.reap();
    stub.pidfd[Symbol.dispose]();
  }
}

/** A fork of a process as small as ours, mapped, opened, killed and waited for by its number. */
function naive({ thread }: Host, stub: Remote): number {
  const child = stub.clone("naive", { flags: CLONE.CLONE_NEWUSER | CLONE.CLONE_PARENT });
  const { pid } = child.pidfd;
  const open = (name: string) => openat(AT_FDCWD, `/proc/${pid}/${name}`, O.O_WRONLY);
  const [uids, gids] = [open("uid_map"), open("gid_map")];
  thread.batch([uids, write(uids, MAP), close(uids), gids, write(gids, MAP), close(gids)]);
  const namespace = thread.call(openat(AT_FDCWD, `/proc/${pid}/ns/user`, O.O_RDONLY));
  syscall(KILL, [pid, SIGNAL.SIGKILL, 0, 0, 0, 0]);
  const waitid = syscallNumber("waitid");
  syscall(waitid, [P.P_PID, pid, 0, WAIT.WEXITED, 0, 0]);
  child[Symbol.dispose]();
  child.pidfd[Symbol.dispose]();
  return namespace;
}

/** A shell's loop of unshare(1), which lets newuidmap(1) write the maps; why it cannot run here. */
async function unshare(scratch: string): Promise<(() => Promise<number>) | string> {
  // newuidmap maps what /etc/subuid allows, to root, too: a file of our own for this mount namespace alone.
  await Deno.writeTextFile(`${scratch}/subids`, "root:100000:65536\n");
  const maps = "--map-users=100000,0,65536 --map-groups=100000,0,65536";
  const command = (count: number) => [
    ...["unshare", "--mount", "sh", "-c"],
    `for file in subuid subgid; do mount --bind '${scratch}/subids' /etc/$file || exit; done
    for i in $(seq ${count}); do unshare -U ${maps} true || exit; done`,
  ];
  const { code, stderr } = await capture(command(1));
  if (code !== 0) return stderr.trim().split("\n").at(-1) ?? "";
  return async () => {
    const start = performance.now();
    await capture(command(AT_ONCE));
    return (performance.now() - start) / AT_ONCE;
  };
}
