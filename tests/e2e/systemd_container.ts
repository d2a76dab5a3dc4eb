// This machine's systemd as the first process of a container: a copy-on-write view of the machine's files, namespaces of
// its own, and a cgroup that it takes for the root. What it is told to run is a service of its.
import { noFile, noProgram, type Obstacle } from "../skip.ts";
import { isLauncher } from "./belay.ts";
import { reachable } from "./other_user.ts";
import { MARK, until, type World } from "./world.ts";

/** A user who has a systemd of his own in there, and no entry in this machine's /etc/passwd. */
export const USER_ID = 54323;
const CGROUPS = "/sys/fs/cgroup";
const TIMEOUT_MS = 240_000;

/** Why there is none here. */
export const NO_SYSTEMD: readonly Obstacle[] = [
  noFile("/lib/systemd/systemd"),
  noProgram("systemctl", "systemd"),
  noProgram("dbus-daemon", "dbus"),
  noFile("/usr/lib/systemd/user/dbus.socket") &&
  "there is no Debian package dbus-user-session here",
  noProgram("setpriv", "util-linux"),
  noFile("/bin/busybox"),
  noFile("/proc/filesystems") ??
    (/\boverlay$/m.test(Deno.readTextFileSync("/proc/filesystems"))
      ? undefined
      : "this kernel has no overlay file system"),
];

/** The v1 hierarchies of this machine, by the names of their mount points. */
export const V1 = ["cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids"];
const HYBRID = [...V1, "systemd", "unified"];

/** Where cgroup2 is: beside v1, or alone. */
const UNIFIED = noFile(`${CGROUPS}/unified/cgroup.procs`) === undefined ? "/unified" : "";

/** Makes what systemd finds, and becomes it: DIRECTORY MODE SHARED, which is /belay-test in there. */
const BECOME = `set -e
d=$1 r=$1/root
mount -t tmpfs -o mode=755 none $d
mkdir $d/upper $d/work $r
mount -t overlay -o lowerdir=/,upperdir=$d/upper,workdir=$d/work none $r
mount -t proc proc $r/proc; mount -t sysfs sys $r/sys
mount -t tmpfs -o mode=755 none $r/run; mount -t tmpfs none $r/tmp; mount -t tmpfs -o mode=755 none $r/dev
for n in null zero full random urandom tty; do touch $r/dev/$n; mount --bind /dev/$n $r/dev/$n; done
mkdir $r/dev/pts $r/dev/shm; mount -t devpts -o newinstance,ptmxmode=0666,mode=620 none $r/dev/pts
ln -s pts/ptmx $r/dev/ptmx
if [ $2 = v2 ]; then mount -t cgroup2 none $r${CGROUPS}; else
  mount -t tmpfs -o mode=755 none $r${CGROUPS}
  for c in ${
  V1.join(" ")
}; do mkdir $r${CGROUPS}/$c; mount -t cgroup -o $c none $r${CGROUPS}/$c; done
  mkdir $r${CGROUPS}/systemd $r${CGROUPS}/unified
  mount -t cgroup -o none,name=systemd none $r${CGROUPS}/systemd; mount -t cgroup2 none $r${CGROUPS}/unified
fi
units=$r/etc/systemd/system
rm -rf $units; mkdir -p $units/multi-user.target.wants
ln -s /lib/systemd/system/multi-user.target $units/default.target
ln -s ../belay-test.service $units/multi-user.target.wants/
cat >$units/belay-test.service <<'END'
[Unit]
Wants=dbus.service systemd-logind.service
After=dbus.service systemd-logind.service systemd-user-sessions.service
[Service]
Type=oneshot
ExecStart=/bin/bash /belay-test/script
ExecStopPost=/bin/systemctl exit --force --force
StandardOutput=append:/belay-test/output
StandardError=append:/belay-test/output
END
echo 'tester:x:${USER_ID}:${USER_ID}::/home/tester:/bin/bash' >>$r/etc/passwd
echo 'tester:x:${USER_ID}:' >>$r/etc/group
echo 'tester:*:19000:0:99999:7:::' >>$r/etc/shadow
mkdir -p $r/home/tester $r/var/lib/systemd/linger $r/belay-test $r/old
chown ${USER_ID}:${USER_ID} $r/home/tester
touch $r/var/lib/systemd/linger/tester # logind starts that user's systemd without a login
mount --bind $3 $r/belay-test
mkdir -p $r/rootfs/bin $r/rootfs/dev $r/rootfs/proc $r/rootfs/sys $r/rootfs/tmp
for a in $(/bin/busybox --list); do ln -s busybox $r/rootfs/bin/$a 2>/dev/null || true; done
rm -f $r/rootfs/bin/busybox; cp /bin/busybox $r/rootfs/bin/busybox
cd $r; pivot_root . old
exec chroot . /bin/sh -c 'umount -l /old; exec env -i container=belay /lib/systemd/systemd'
`;

/**
 * Runs a bash script as a service of a systemd, to its end, and returns what it printed. In it `belay` is the executable
 * under test and /rootfs a root file system with busybox.
 * @param mode The cgroups that systemd finds: cgroup2 alone, or beside cgroup v1.
 */
export async function inSystemd(world: World, mode: "v1" | "v2", script: string): Promise<string> {
  const shared = `${world.dir}/shared`;
  Deno.mkdirSync(shared);
  Deno.chmodSync(shared, 0o755);
  const executable = reachable(shared);
  const inside = executable.replace(shared, "/belay-test");
  if (isLauncher) { // It names its Deno by its path.
    const text = Deno.readTextFileSync(executable).replaceAll(shared, "/belay-test");
    Deno.writeTextFileSync(executable, text);
  }
  Deno.writeTextFileSync(
    `${shared}/script`,
    `belay() { ${inside} "$@"; }\nBELAY=${inside}\n${script}`,
  );
  Deno.mkdirSync(`${world.dir}/place`);
  const group = `${MARK}-machine`;
  const groups = (mode === "v1" ? HYBRID.map((name) => `/${name}`) : [UNIFIED])
    .map((name) => `${CGROUPS}${name}/${group}`);
  for (const path of groups) {
    Deno.mkdirSync(path);
    if (!path.startsWith(`${CGROUPS}/cpuset/`)) continue;
    for (const file of ["cpuset.cpus", "cpuset.mems"]) {
      Deno.copyFileSync(`${CGROUPS}/cpuset/${file}`, `${path}/${file}`);
    }
  }
  try {
    const enter =
      'd=$1; shift; for g in $d; do echo $$ >$g/cgroup.procs || exit 1; done; exec "$@"';
    const ended = await world.start([
      ...["sh", "-c", enter, "sh", groups.join(" ")],
      ...["unshare", "--mount", "--pid", "--ipc", "--uts", "--net", "--cgroup", "--fork"],
      ...["--kill-child", "--propagation", "private", "bash", "-c", BECOME, "bash"],
      ...[`${world.dir}/place`, mode, shared],
    ], { timeoutMs: TIMEOUT_MS }).ended;
    if (noFile(`${shared}/output`) === undefined) return Deno.readTextFileSync(`${shared}/output`);
    throw new Error(`systemd did not run the script: ${JSON.stringify(ended)}`);
  } finally {
    // Whom systemd leaves behind the kernel ends with it, but not at once.
    for (const path of groups) await until("nobody is in there", () => removed(path));
  }
}

/** Removes a cgroup with all below it, unless somebody is still in one. */
function removed(path: string): boolean {
  try {
    for (const { name, isDirectory } of Deno.readDirSync(path)) {
      if (isDirectory && !removed(`${path}/${name}`)) return false;
    }
    Deno.removeSync(path);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EBUSY") return false;
    throw error;
  }
}
