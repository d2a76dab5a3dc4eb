// --systemd-cgroup with a real systemd: root's containers in scopes of the system's, a user's in scopes of the user's.
import { assertEquals } from "@std/assert";
import { defaultSpec, rootlessSpec } from "../../runtime/spec/default_spec.ts";
import { noFile, type Obstacle } from "../skip.ts";
import { inSystemd, NO_SYSTEMD, USER_ID, V1 } from "./systemd_container.ts";
import { type AnySpec, e2e } from "./world.ts";

/** A bundle at /bundles/NAME, as a part of a script. */
function bundle(
  name: string,
  spec: AnySpec,
  cgroupsPath: string | undefined,
  resources: object,
): string {
  Object.assign(spec.process, { terminal: false, args: ["sleep", "100000"] });
  spec.root = { path: "/rootfs", readonly: true };
  Object.assign(spec.linux, { cgroupsPath, resources });
  // So that the container tells where it is.
  spec.linux.namespaces = spec.linux.namespaces.filter((each: AnySpec) => each.type !== "cgroup");
  return `mkdir -p /bundles/${name}; cat >/bundles/${name}/config.json <<'END'\n${
    JSON.stringify(spec)
  }\nEND\n`;
}

const DEVICES = { devices: [{ allow: false, access: "rwm" }] };
const ROOT = () => defaultSpec({ cgroup2: true });

/** `say` prints a line of the result; `show` a unit's properties, `gone` whether there is a unit or a cgroup of it. */
const WORDS = `
exec 2>&1
say() { echo "RESULT $*"; }
B="$BELAY --systemd-cgroup"
as() { setpriv --reuid=${USER_ID} --regid=${USER_ID} --init-groups env -i PATH=$PATH HOME=/home/tester "$@"; }
U="as XDG_RUNTIME_DIR=/run/user/${USER_ID}"
show() { local ctl=$1 unit=$2; shift 2; for p in "$@"; do say $unit $p $($ctl show --value -p $p $unit); done; }
gone() { say gone $2 $($1 show --value -p LoadState $2) $(find /sys/fs/cgroup -name $2); }
pid() { sed -n 's/.*"pid": *\\([0-9]*\\).*/\\1/p'; }
status() { sed -n 's/.*"status": *"\\([a-z]*\\)".*/\\1/p'; }
until_running() { i=0; until "$@" 2>/dev/null | grep -q '"running"' || [ $i -ge 300 ]; do sleep 0.1; i=$((i+1)); done; }
words() { grep -o 'msg=.*' | head -1; }
`;

function real(name: string, mode: "v1" | "v2", script: string, expected: string, more: Obstacle[]) {
  e2e(name, async (world) => {
    const output = await inSystemd(world, mode, `${WORDS}${script}\nsay end\n`);
    const found = output.split("\n").filter((line) => line.startsWith("RESULT "))
      .map((line) => line.slice("RESULT ".length).trimEnd());
    assertEquals(found, [...expected.trim().split("\n"), "end"], output);
  }, [...NO_SYSTEMD, ...more]);
}

const KILLED = `
$B run --bundle /bundles/plain plain </dev/null >/dev/null 2>&1 & B1=$!
until_running belay state plain
show systemctl belay-plain.scope ControlGroup
kill -KILL $B1; wait $B1 2>/dev/null
say killed $(systemctl is-active belay-plain.scope)
belay delete --force plain; say swept $?
gone systemctl belay-plain.scope
for ms in 10 15 20 25 30 35 40 50 60; do
  $B create --bundle /bundles/plain crash$ms </dev/null >/dev/null 2>&1 & B1=$!
  sleep 0.$ms; kill -KILL $B1 2>/dev/null; wait $B1 2>/dev/null
  belay delete --force crash$ms || say crash$ms
done
say crashes $(systemctl list-units --all --no-legend 'belay-crash*') $(find /sys/fs/cgroup -name 'belay-crash*') $(belay list -q)
$B run --detach --bundle /bundles/plain stopped </dev/null >/dev/null 2>&1
systemctl kill --signal=KILL belay-stopped.scope
i=0; while systemctl is-active --quiet belay-stopped.scope && [ $i -lt 100 ]; do sleep 0.1; i=$((i+1)); done
say stopped $(belay state stopped | status)
belay delete stopped; say removed $?
gone systemctl belay-stopped.scope
`;
const KILLED_RESULT = `
belay-plain.scope ControlGroup /system.slice/belay-plain.scope
killed active
swept 0
gone belay-plain.scope not-found
crashes
stopped stopped
removed 0
gone belay-stopped.scope not-found`.trim();

const PLACE = "/test.slice/test-a.slice/test-root.scope";

real(
  "--systemd-cgroup with systemd on cgroup v1: limits are the scope's, and all is gone with it",
  "v1",
  `
${
    bundle("root", ROOT(), "test-a.slice:test:root", {
      ...DEVICES,
      memory: { limit: 64 << 20 },
      cpu: { shares: 512, quota: 33333, period: 100000 },
      pids: { limit: 30 },
    })
  }${bundle("plain", ROOT(), undefined, DEVICES)}
of() { for f in memory.limit_in_bytes cpu.cfs_quota_us pids.max; do say $f $(cat /sys/fs/cgroup/\${f%%.*}${PLACE}/$f); done; }
denied() { say denied $(belay exec root sh -c ': </dev/null && echo null; cat /sys/fs/cgroup/devices/devices.list 2>/dev/null | grep -c "^a"') $(grep -c '^a' /sys/fs/cgroup/devices${PLACE}/devices.list); }
say first $(cat /proc/1/comm) $(stat -fc %T /sys/fs/cgroup)
$B create --bundle /bundles/root root </dev/null; say created $?
show systemctl test-root.scope ActiveState ControlGroup Slice Delegate MemoryLimit CPUShares CPUQuotaPerSecUSec TasksMax DevicePolicy
of
P=$(belay state root | pid)
say inside $(cut -d: -f3 /proc/$P/cgroup | sort | uniq -c) $(grep -cx $P /sys/fs/cgroup/systemd${PLACE}/cgroup.procs)
belay start root; say started $?
say exec $(belay exec root cat /proc/self/cgroup | cut -d: -f3 | sort | uniq -c)
denied
belay update --memory 32M --cpu-quota 44444 --pids-limit 17 root; say updated $?
show systemctl test-root.scope MemoryLimit CPUQuotaPerSecUSec TasksMax
systemctl daemon-reload; say reloaded $?
of
denied
belay pause root; say paused $(belay state root | status)
belay resume root; say resumed $(belay state root | status)
$B create --bundle /bundles/root again </dev/null >/tmp/err 2>&1; say taken $? $(grep -c 'systemd has a unit test-root.scope: belay container root' /tmp/err)
belay delete --force root; say deleted $?
gone systemctl test-root.scope
${KILLED}`,
  `
first systemd tmpfs
created 0
test-root.scope ActiveState active
test-root.scope ControlGroup /test.slice/test-a.slice/test-root.scope
test-root.scope Slice test-a.slice
test-root.scope Delegate yes
test-root.scope MemoryLimit 67108864
test-root.scope CPUShares 512
test-root.scope CPUQuotaPerSecUSec 340ms
test-root.scope TasksMax 30
test-root.scope DevicePolicy strict
memory.limit_in_bytes 67108864
cpu.cfs_quota_us 33333
pids.max 30
inside 10 /test.slice/test-a.slice/test-root.scope 1
started 0
exec 10 /test.slice/test-a.slice/test-root.scope
denied null 0 0
updated 0
test-root.scope MemoryLimit 33554432
test-root.scope CPUQuotaPerSecUSec 450ms
test-root.scope TasksMax 17
reloaded 0
memory.limit_in_bytes 33554432
cpu.cfs_quota_us 45000
pids.max 17
denied null 0 0
paused paused
resumed running
taken 1 1
deleted 0
gone test-root.scope not-found
${KILLED_RESULT}`,
  [...V1, "systemd"].map((name) => noFile(`/sys/fs/cgroup/${name}/tasks`)),
);

const NETWORKED: AnySpec = rootlessSpec({ uid: 0, gid: 0 });
NETWORKED.linux.namespaces.push({ type: "network" });
const SCOPE =
  `/user.slice/user-${USER_ID}.slice/user@${USER_ID}.service/user.slice/test-user.scope`;
const NESTED = "/run/user/" + USER_ID + "/nested";

real(
  "--systemd-cgroup with systemd on cgroup2: root's scopes, and a user's in the user's systemd",
  "v2",
  `
${bundle("plain", ROOT(), undefined, DEVICES)}${
    bundle("user", rootlessSpec({ uid: USER_ID, gid: USER_ID }), ":test:user", DEVICES)
  }${bundle("nested", NETWORKED, ":test:nested", DEVICES)}
say first $(cat /proc/1/comm) $(stat -fc %T /sys/fs/cgroup)
${KILLED}
i=0; until [ -S /run/user/${USER_ID}/bus ] || [ $i -ge 300 ]; do sleep 0.1; i=$((i+1)); done
S=${SCOPE}
C="$U systemctl --user"
$U $B create --bundle /bundles/user user </dev/null; say user created $?
show "$C" test-user.scope ActiveState ControlGroup Slice Delegate
P=$($U $BELAY state user | pid)
say user inside $(cat /proc/$P/cgroup | tail -1) $(grep -cx $P /sys/fs/cgroup$S/cgroup.procs) $(stat -c %u /sys/fs/cgroup$S)
$U $BELAY start user; say user started $?
say user exec $($U $BELAY exec user cat /proc/self/cgroup | tail -1)
say user ps $($U $BELAY ps user | grep -c sleep)
$U $BELAY pause user; say user paused $(grep frozen /sys/fs/cgroup$S/cgroup.events)
$U $BELAY resume user; say user resumed $(grep frozen /sys/fs/cgroup$S/cgroup.events)
$U $BELAY delete --force user; say user deleted $?
gone "$C" test-user.scope
$U $B run --pid-file /home/tester/pid --bundle /bundles/user user </dev/null >/dev/null 2>&1 &
until_running $U $BELAY state user
kill -KILL $(ps -o ppid= -p $(cat /home/tester/pid))
say user killed $($C is-active test-user.scope)
$U $BELAY delete --force user; say user swept $?
gone "$C" test-user.scope
say nothing $(as $B --root /home/tester/x create --bundle /bundles/user x </dev/null 2>&1 | words)
say nobus $(as XDG_RUNTIME_DIR=/home/tester $B create --bundle /bundles/user x </dev/null 2>&1 | words)
cat >/home/tester/nested <<'END'
"$0" --systemd-cgroup --root ${NESTED} run --detach --bundle /bundles/nested nested </dev/null; echo RESULT nested $?
echo RESULT nested exec $("$0" --root ${NESTED} exec nested cat /proc/self/cgroup | tail -1)
"$0" --root ${NESTED} delete --force nested; echo RESULT nested deleted $?
END
$U unshare --user --mount sh -c 'echo $$ >/home/tester/owner; until [ -e /home/tester/mapped ]; do sleep 0.1; done; exec setpriv --reuid 0 --regid 0 --clear-groups sh -c ". /home/tester/nested" $0' $BELAY &
i=0; until [ -s /home/tester/owner ] || [ $i -ge 100 ]; do sleep 0.1; i=$((i+1)); done
for map in uid_map gid_map; do printf '0 ${USER_ID} 1\n1 100000 1000\n' >/proc/$(cat /home/tester/owner)/$map; done
touch /home/tester/mapped; wait $!
gone "$C" test-nested.scope
`,
  `
first systemd cgroup2fs
${KILLED_RESULT}
user created 0
test-user.scope ActiveState active
test-user.scope ControlGroup ${SCOPE}
test-user.scope Slice user.slice
test-user.scope Delegate yes
user inside 0::${SCOPE} 1 ${USER_ID}
user started 0
user exec 0::${SCOPE}
user ps 1
user paused frozen 1
user resumed frozen 0
user deleted 0
gone test-user.scope not-found
user killed active
user swept 0
gone test-user.scope not-found
nothing msg="belay create failed: --systemd-cgroup: nothing says where the user's bus is: set DBUS_SESSION_BUS_ADDRESS, or XDG_RUNTIME_DIR, as a login by systemd-logind does (sudo and su alone do not)"
nobus msg="belay create failed: --systemd-cgroup: there is no user's bus at /home/tester/bus: is the user's systemd running, and dbus as its service (Debian package dbus-user-session)?"
nested 0
nested exec 0::${SCOPE.replace("user.scope", "nested.scope")}
nested deleted 0
gone test-nested.scope not-found`,
  [],
);
