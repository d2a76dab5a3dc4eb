// --systemd-cgroup as docker, podman and containerd pass it, with a real systemd, belay beside runc.
import { assertEquals } from "@std/assert";
import { inSystemd, NO_SYSTEMD, USER_ID, V1 } from "../e2e/systemd_container.ts";
import { e2e } from "../e2e/world.ts";
import { noFile, noProgram, type Obstacle } from "../skip.ts";
import { RUNC } from "./checks.ts";
import { dockerObstacles } from "./dockerd.ts";

/** What the clients have in common: `say` prints a line of the result. */
const WORDS = `
exec 2>&1
export HOME=/root ID=none
say() { echo "RESULT $*" | sed "s/$ID/ID/g"; }
show() { for p in "$@"; do systemctl show --value -p $p $UNIT; done; }
of() { for f in memory.limit_in_bytes cpu.cfs_quota_us pids.max; do cat /sys/fs/cgroup/\${f%%.*}/$SLICE/$UNIT/$f; done; }
eventually() { i=0; until "$@" >/dev/null 2>&1; do [ $i -lt 600 ] || { echo "in vain: $*"; tail -n 20 /tmp/*.log; exit 1; }; sleep 0.1; i=$((i+1)); done; }
here() {
  say $1 of $(show Description | cut -d' ' -f1)
  say $1 $(show ActiveState ControlGroup Slice Delegate DevicePolicy)
  say $1 inside $(cut -d: -f3 /proc/$PID/cgroup | sort | uniq -c)
}
limited() { say $1 limits $(show MemoryLimit CPUQuotaPerSecUSec TasksMax) $(of); }
units() { systemctl list-units --all --no-legend "$UNIT"; }
vanished() { [ -z "$(units)$(find /sys/fs/cgroup -name "$UNIT")" ]; }
gone() { eventually vanished; say $1 gone $(show LoadState) $(find /sys/fs/cgroup -name "*$ID*"); }
exited() { say $1 exit code $2; }
GREP='grep -c scope /proc/self/cgroup; cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/pids/pids.max'
FILES="tar -C /rootfs -c ."
`;

/** docker's `systemd` driver. */
const DOCKER = `
D="/usr/bin/docker --host unix:///run/docker.sock"
dockerd --data-root /tmp/docker --exec-root /run/docker --pidfile /run/docker.pid --host unix:///run/docker.sock \
  --exec-opt native.cgroupdriver=systemd --iptables=false --ip6tables=false --bridge=none \
  --add-runtime under-test=$BELAY --add-runtime stock=${RUNC.path} >/tmp/daemon.log 2>&1 &
eventually $D version
$FILES | $D import - bb:local >/dev/null
say docker $($D info --format '{{.CgroupDriver}}')
for R in stock under-test; do
  ID=$($D run --detach --runtime $R --network none --memory 64m --cpus 0.5 --pids-limit 20 bb:local sleep 1000)
  UNIT=docker-$ID.scope SLICE=system.slice PID=$($D inspect --format '{{.State.Pid}}' $ID)
  here $R; limited $R
  say $R exec $($D exec $ID sh -c "$GREP")
  $D update --memory 32m --memory-swap 32m --pids-limit 17 $ID >/dev/null; limited $R
  $D pause $ID >/dev/null; say $R $($D inspect --format '{{.State.Status}}' $ID); $D unpause $ID >/dev/null
  $D kill $ID >/dev/null; exited $R $($D wait $ID)
  $D rm $ID >/dev/null; gone $R
  say $R oom $($D run --rm --runtime $R --network none --memory 24m --memory-swap 24m bb:local dd if=/dev/zero of=/dev/null bs=200M count=1 >/dev/null 2>&1; echo $?)
done
ID=none UNIT='docker-*.scope'
eventually vanished; say left $(units)
kill $!; wait $!
`;

const PODMAN = `
P="podman --root /tmp/podman --runroot /run/podman --tmpdir /run/podman-tmp --storage-driver overlay --events-backend file --cgroup-manager systemd"
$FILES | $P import --quiet - bb:local >/dev/null
for R in ${RUNC.path} $BELAY; do
  N=$(basename $R); P="$P --runtime $R"
  ID=$($P run --detach --network none --ulimit nofile=20000:20000 --ulimit nproc=32768:32768 --memory 64m --cpus 0.5 --pids-limit 20 bb:local sleep 1000)
  UNIT=libpod-$ID.scope SLICE=machine.slice PID=$($P inspect --format '{{.State.Pid}}' $ID)
  here $N; limited $N
  say $N exec $($P exec $ID sh -c "$GREP")
  $P kill $ID >/dev/null; exited $N $($P wait $ID)
  $P rm $ID >/dev/null; gone $N
done
ID=none UNIT='libpod-*.scope'
eventually vanished; say left $(units)
`;

const CONTAINERD = `
mkdir /tmp/containerd /tmp/image
cat >/tmp/containerd/config.toml <<'END'
version = 2
root = "/tmp/containerd/root"
state = "/run/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
END
containerd --config /tmp/containerd/config.toml >/tmp/daemon.log 2>&1 &
C="ctr --namespace systemd"
eventually $C version
for R in ${RUNC.path} $BELAY; do
  N=$(basename $R) ID=c-$(basename $R)
  UNIT=ctr-$ID.scope SLICE=system.slice
  $C run --detach --runc-binary $R --runc-systemd-cgroup --cgroup system.slice:ctr:$ID --memory-limit 67108864 --cpus 0.5 \
    --rootfs /rootfs $ID /bin/sleep 1000
  PID=$($C task ls | sed -n "s/^$ID *\\([0-9]*\\).*/\\1/p")
  here $N
  say $N limits $(show MemoryLimit CPUQuotaPerSecUSec)
  say $N exec $($C task exec --exec-id e $ID /bin/cat /proc/self/cgroup | grep -c $UNIT)
  $C task kill --signal SIGKILL $ID; eventually sh -c "$C task ls | grep STOPPED"
  $C task delete $ID >/dev/null
  $C container delete $ID; gone $N
done
kill $!; wait $!
`;

/**
 * podman of the user who has a systemd of its own, on cgroup2: pause works, and a container has a cgroup. This machine's
 * controllers belong to cgroup v1, so there are no limits, and podman's own one is taken away.
 */
const ROOTLESS = `
for file in subuid subgid; do echo tester:300000:65536 >>/etc/$file; done
mkdir /storage; mount -t tmpfs -o mode=777 none /storage; mount --make-rshared /
cat >/home/tester/containers.conf <<'END'
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]
pids_limit = 0
[engine]
cgroup_manager = "systemd"
events_logger = "file"
END
U="setpriv --reuid=${USER_ID} --regid=${USER_ID} --init-groups --inh-caps=-all env -i -C /home/tester PATH=$PATH HOME=/home/tester USER=tester
  XDG_RUNTIME_DIR=/run/user/${USER_ID} CONTAINERS_CONF=/home/tester/containers.conf"
C="$U systemctl --user"
eventually $C is-active dbus.socket
show() { for p in "$@"; do $C show --value -p $p $UNIT; done; }
units() { $C list-units --all --no-legend "$UNIT"; }
P="$U podman --root /storage/podman --storage-driver overlay"
$FILES | $P import --quiet - bb:local >/dev/null
for R in ${RUNC.path} $BELAY; do
  N=$(basename $R); P="$P --runtime $R"
  ID=$($P run --detach --network none bb:local sleep 1000)
  UNIT=libpod-$ID.scope PID=$($P inspect --format '{{.State.Pid}}' $ID)
  say $N of $(show Description | cut -d' ' -f1)
  say $N $(show ActiveState ControlGroup Slice Delegate)
  say $N inside $(tail -n 1 /proc/$PID/cgroup) $(stat -c %u /sys/fs/cgroup$(show ControlGroup))
  say $N exec $($P exec $ID id -u)
  $P pause $ID >/dev/null 2>&1; say $N paused $(grep frozen /sys/fs/cgroup$(show ControlGroup)/cgroup.events)
  $P unpause $ID >/dev/null 2>&1; say $N resumed $(grep frozen /sys/fs/cgroup$(show ControlGroup)/cgroup.events)
  $P kill $ID >/dev/null; exited $N $($P wait $ID)
  $P rm $ID >/dev/null; gone $N
  $P pause $($P run --detach --network none --name last bb:local sleep 1000) >/dev/null 2>&1
  $P rm --force --time 0 last >/dev/null; say $N removed $?
done
ID=none UNIT='libpod-*.scope'
eventually vanished; say left $(units) $(ls /run/user/${USER_ID}/belay /run/user/${USER_ID}/runc | grep -v :)
`;

/** What is to be said of a runtime. */
function life(name: string, unit: string, slice: string, rest: string): string {
  const path = `/${slice}/${unit}`;
  const who = /^(stock|runc)$/.test(name) ? "libcontainer" : "belay";
  return `
of ${who}
active ${path} ${slice} yes strict
inside 10 ${path}
${rest}
gone not-found`.trim().split("\n").map((line) => `${name} ${line}`).join("\n");
}

function client(
  name: string,
  mode: "v1" | "v2",
  script: string,
  expected: string,
  obstacles: readonly Obstacle[],
) {
  e2e(`--systemd-cgroup under ${name}: scopes, as with runc`, async (world) => {
    const output = await inSystemd(world, mode, `${WORDS}${script}\nsay end\n`);
    const found = output.split("\n").filter((line) => line.startsWith("RESULT "))
      .map((line) => line.slice("RESULT ".length).trimEnd());
    assertEquals(found, [...expected.trim().split("\n"), "end"], output);
  }, [
    ...[...NO_SYSTEMD, noFile(RUNC.path), ...obstacles],
    ...(mode === "v2" ? [] : [...V1, "systemd"]).map((name) =>
      noFile(`/sys/fs/cgroup/${name}/tasks`)
    ),
  ]);
}

const DOCKERS = (runtime: string) =>
  life(
    runtime,
    "docker-ID.scope",
    "system.slice",
    `limits 67108864 500ms 20 67108864 50000 20
exec 10 67108864 20
limits 33554432 500ms 17 33554432 50000 17
paused
exit code 137`,
  ) + `\n${runtime} oom 137`;
client(
  "docker",
  "v1",
  DOCKER,
  `docker systemd\n${DOCKERS("stock")}\n${DOCKERS("under-test")}\nleft`,
  dockerObstacles(),
);

const PODMANS = (runtime: string) =>
  life(
    runtime,
    "libpod-ID.scope",
    "machine.slice",
    "limits 67108864 500ms 20 67108864 50000 20\nexec 10 67108864 20\nexit code 137",
  );
client("podman", "v1", PODMAN, `${PODMANS("runc")}\n${PODMANS("belay")}\nleft`, [
  ...[noProgram("podman"), noProgram("conmon")],
]);

const CTRS = (runtime: string) =>
  life(
    runtime,
    "ctr-ID.scope",
    "system.slice",
    "limits 67108864 500ms\nexec 10",
  );
client("containerd", "v1", CONTAINERD, `${CTRS("runc")}\n${CTRS("belay")}`, [
  ...[noProgram("containerd"), noProgram("ctr", "containerd")],
]);

const USERS =
  `/user.slice/user-${USER_ID}.slice/user@${USER_ID}.service/user.slice/libpod-ID.scope`;
const ROOTLESS_LIFE = (runtime: string, who: string) =>
  `of ${who}
active ${USERS} user.slice yes
inside 0::${USERS} ${USER_ID}
exec 0
paused frozen 1
resumed frozen 0
exit code 137
gone not-found
removed 0`.split("\n").map((line) => `${runtime} ${line}`).join("\n");
client(
  "podman of an ordinary user",
  "v2",
  ROOTLESS,
  `${ROOTLESS_LIFE("runc", "libcontainer")}\n${ROOTLESS_LIFE("belay", "belay")}\nleft`,
  [noProgram("podman"), noProgram("conmon"), noProgram("newuidmap", "uidmap")],
);
