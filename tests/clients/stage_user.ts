// Opens a stage, does what daemons do there, says so, and fails half way when its standard input ends.
import { MARK } from "../e2e/census.ts";
import { Stage } from "./stage.ts";

/** A daemon that does not end by itself, with mounts, links, a chain of iptables, cgroups. */
const DAEMON = `set -e
trap '' TERM HUP INT
mkdir -p /run/daemon /sys/fs/cgroup/pids/${MARK}-daemon/below
mount -t tmpfs tmpfs /run/daemon
ip link add br-daemon type bridge
iptables -N ${MARK}
echo $$ >/sys/fs/cgroup/pids/${MARK}-daemon/below/cgroup.procs
echo there
while :; do sleep 0.1; done
`;

await using stage = await Stage.open();
const actor = stage.start(["sh", "-c", DAEMON]);
while (!actor.output().includes("there")) await new Promise((done) => setTimeout(done, 20));
// What a daemon has there, so that it can be told afterwards that it is nowhere else.
const chains = await stage.ok(["iptables", "-S", MARK ?? ""]);
console.log(JSON.stringify({ mark: MARK, dir: stage.dir, census: stage.census(), chains }));
await new Response(Deno.stdin.readable).text();
throw new Error("half way");
