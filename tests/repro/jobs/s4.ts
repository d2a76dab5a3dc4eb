// Debian #949235: parallel `ip netns add` on a fresh system nested mounts on /run/netns until the machine drowned.
import type { Finding, Job, World } from "../job.ts";

/** At once. Each one more doubles what the naive way mounts, and more: ten made 25,369 lines. */
const AT_ONCE = 6;
/** Past that the naive way is ended: six made 473 lines where this was written. */
const MOST_LINES = 4000;
const LONGEST_MS = 60_000;
const GUARD_PAUSE_MS = 20;

/** Every mount comes back a second late, so that all of them are under way at the same time. */
const LATE = "delay_exit=1000000";
const STRACE = "strace -f -qqq -o /dev/null";
/** Before iproute2 5.10 there was no lock. */
const NAIVE = `${STRACE} -e trace=flock,mount -e inject=flock:error=ENOSYS ` +
  `-e inject=mount:${LATE} ip`;
const OURS = `${STRACE} -e trace=mount,move_mount -e inject=mount,move_mount:${LATE} "$BELAY"`;

/** What a fresh system, whose /run is shared as systemd makes it, looks like after adds at once. */
interface Outcome {
  /** Lines of mountinfo that came. */
  readonly lines: number;
  /** Names in the directory with a namespace on them. */
  readonly names: number;
  /** It was ended, because there were too many. */
  readonly stopped: boolean;
}

async function addAtOnce(add: string, belay: string): Promise<Outcome> {
  const script = `mount -t tmpfs tmpfs /run && mount --make-shared /run || exit 1
    wc -l < /proc/self/mountinfo
    for i in $(seq ${AT_ONCE}); do ${add} netns add n$i 2>&1 | grep -v 'could not flock' >&2 & done; wait
    wc -l < /proc/self/mountinfo
    for name in /run/netns/*; do nsenter --net=$name true && echo $name; done | wc -l`;
  const child = new Deno.Command("unshare", {
    // A process namespace, too: whoever ends the first process in it ends all, and with them all mounts.
    args: [
      ...["--mount", "--propagation", "private", "--pid", "--mount-proc", "--fork"],
      ...["--kill-child", "--", "bash", "-c", script],
    ],
    env: { BELAY: belay },
    stdin: "null",
    stdout: "piped",
  }).spawn();
  let stopped = false;
  let seen = 0;
  const deadline = Date.now() + LONGEST_MS;
  const guard = setInterval(() => {
    seen = Math.max(seen, linesOfChildren(child.pid));
    if (seen < MOST_LINES && Date.now() < deadline) return;
    stopped = true;
    child.kill("SIGKILL");
  }, GUARD_PAUSE_MS);
  const { stdout, code } = await child.output();
  clearInterval(guard);
  const [before = NaN, after = seen, names = 0] = new TextDecoder().decode(stdout).trim().split(
    "\n",
  )
    .map(Number);
  if (code !== 0 && !stopped) throw new Error(`${add} netns add ended with ${code}`);
  return { lines: after - before, names, stopped };
}

/** Lines of mountinfo in the namespace of whom unshare(1) has started. */
function linesOfChildren(pid: number): number {
  try {
    const [child] = Deno.readTextFileSync(`/proc/${pid}/task/${pid}/children`).trim().split(" ");
    if (child === undefined || child === "") return 0;
    return Deno.readTextFileSync(`/proc/${child}/mountinfo`).split("\n").length - 1;
  } catch {
    return 0; // not there yet, or no longer
  }
}

/** Lines beside the one for the directory and one for each name. */
function tooMany({ lines }: Outcome): number {
  return lines - 1 - AT_ONCE;
}

async function explosion({ say, belay: [belay = ""] }: World): Promise<Finding[]> {
  const naive = await addAtOnce(NAIVE, belay);
  say(
    `ip netns add, ${AT_ONCE} at once, without its lock: ${naive.lines} mounts` +
      (naive.stopped ? " when it was stopped" : ""),
  );
  const ours = await addAtOnce(OURS, belay);
  say(`belay netns add, ${AT_ONCE} at once: ${ours.lines} mounts`);
  const forced = "ip's lock fails, mounts take a second";
  return [
    {
      what: `mounts too many after ${AT_ONCE} adds at once`,
      ...{ rounds: 1, naive: tooMany(naive), belay: Math.abs(tooMany(ours)), forced },
    },
    { what: "names lost", rounds: AT_ONCE, belay: AT_ONCE - ours.names },
  ];
}

/** S4. */
export const job: Job = {
  name: "s4",
  bug: "parallel netns add on a fresh system drowns it in mounts (Debian #949235)",
  needs: { strace: "takes ip's lock away, and makes mounts slow" },
  timeoutMs: 2 * LONGEST_MS + 30_000,
  obstacle: async () => {
    const traced = new Deno.Command("strace", { args: ["-o", "/dev/null", "true"], stdin: "null" });
    const { success, stderr } = await traced.output();
    return success ? undefined : `strace cannot trace: ${new TextDecoder().decode(stderr).trim()}`;
  },
  run: explosion,
};
