// The fault sweep of `netns list` and `netns doctor`: each of their system calls fails, in both ways of looking; doctor is
// killed at some of its calls. Afterwards nothing of theirs is left, what they told is true, and the next --fix heals.
import { assert, assertEquals } from "@std/assert";
import { noFile, noProgram, notRoot, testUnless } from "../skip.ts";

const all = Deno.env.get("BELAY_SWEEP") === "all";
const seed = Number(
  Deno.env.get("BELAY_SWEEP_SEED") ?? crypto.getRandomValues(new Uint16Array(1))[0],
);
/** Of the kills, one of so many. */
const STRIDE = all ? 1 : 24;
const obstacles = [notRoot(), noFile("/sys/kernel/btf/vmlinux"), noProgram("tc", "iproute2")];
const ALONE = ["--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"];
/** A cache of the test's own. */
const RUN =
  "mkdir -p /var/cache/belay && mount -t tmpfs -o mode=700 none /var/cache/belay && mount -t tmpfs none /run && mkdir /run/netns";

async function alone(script: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command("unshare", {
    args: [...ALONE, "bash", "-c", `${RUN} && ${script}`, "bash", ...args],
    cwd: new URL("../..", import.meta.url).pathname,
    env: { DENO: Deno.execPath() },
    stdin: "null",
  }).output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assertEquals(code, 0, `${out}${err}`);
  return out ?? "";
}

const DENO_RUN = '"$DENO" run --allow-all --no-lock --no-check --quiet';

testUnless(
  obstacles,
  `fault sweep, netns list and doctor: ${all ? "every error" : `an error a call, seed ${seed}`}`,
  async () => {
    const script = `${DENO_RUN} tests/faults/netns_walk.ts "$@"`;
    const lines = (await alone(script, `${seed}`, all ? "all" : "part")).trim().split("\n");
    const points = Number(lines.pop());
    assertEquals(lines, []);
    assert(points > 300, `only ${points} points`);
  },
);

testUnless(
  obstacles,
  `fault sweep, netns doctor --fix: one kill in ${STRIDE}, seed ${seed}`,
  async () => {
    const script = `
    ip link add deaf type veth peer name peer; touch -d "1 minute ago" /run/netns/old
    tc qdisc add dev deaf ingress; ip link add gone type veth peer name gone-peer
    tc filter add dev deaf parent ffff: protocol all u32 match u32 0 0 action mirred egress redirect dev gone
    ip link del gone
    fix() { BELAY_FAULT="{\\"k\\":$1,\\"do\\":\\"kill\\"}" ${DENO_RUN} tests/faults/entry.ts netns doctor --fix; }
    killed=0
    for ((k = 1 + $1 % $2;; k += $2)); do
      fix $k >/dev/null 2>&1; code=$?
      [ $code = 137 ] || break
      killed=$((killed + 1))
    done
    fix 0 >/dev/null 2>&1; fix 0 2>/dev/null; echo "$killed $code $?"; ls /run/netns
    tc filter show dev deaf parent ffff:; cat /proc/1/task/1/children`;
    const [told, counts = "", ...left] = (await alone(script, `${seed}`, `${STRIDE}`)).trim().split(
      "\n",
    );
    const [killed = 0, ended, code] = counts.split(" ").map(Number);
    assertEquals([told, ended, code, left], ["nothing was left behind", 0, 0, []]);
    assert(killed > 3, `killed ${killed} times only`);
  },
);
