// A machine of one's own: Debian's cloud kernel in qemu, without KVM, with cgroup2 alone. It boots from an initramfs
// that holds busybox, the executable under test and what that needs, runs a script, and is gone.
import { capture } from "../../scripts/step.ts";
import type { Obstacle } from "../skip.ts";
import { belayPath, isLauncher } from "./belay.ts";

/** The package that depends on the newest kernel for virtual machines. */
const KERNEL = "linux-image-cloud-amd64";
/** The longest that a machine may take, in milliseconds: it is emulated, and the host may be busy. */
const TIMEOUT_MS = 900_000;
/** Without the last one half of the boots hang: the emulated timer is too slow for the calibration. */
const ARGUMENTS = "console=ttyS0 panic=-1 quiet tsc_early_khz=2600000";

/** Why there is no such machine here. */
export async function noMachine(): Promise<Obstacle> {
  if (Deno.env.get("BELAY_MACHINE") === undefined) {
    return "takes minutes: BELAY_MACHINE=1 runs it (docs/HACKING.md)";
  }
  if (Deno.build.arch !== "x86_64") return "the kernel and its emulator are for x86_64";
  const qemu = await capture(["qemu-system-x86_64", "--version"]);
  if (qemu.code !== 0) {
    return "qemu-system-x86_64 is not installed (Debian package qemu-system-x86)";
  }
  const apt = await capture(["apt-cache", "show", KERNEL]);
  return apt.code === 0 ? undefined : `apt has no package ${KERNEL} here`;
}

/** Boots, runs a shell script as the first process, and returns what it printed. */
export async function inMachine(directory: string, script: string): Promise<string> {
  const kernel = await fetchKernel(directory);
  const root = `${directory}/root`;
  await fillRoot(root, script);
  const initrd = `${directory}/initrd`;
  const pack = `cd '${root}' && find . | busybox cpio -o -H newc >'${initrd}'`;
  await must(["sh", "-c", pack]);
  const { stdout } = await capture([
    ...["qemu-system-x86_64", "-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max"],
    ...["-smp", "2", "-m", "1400", "-nodefaults", "-no-user-config", "-no-reboot"],
    ...["-display", "none", "-serial", "stdio", "-kernel", kernel, "-initrd", initrd],
    ...["-append", ARGUMENTS],
  ], { timeoutMs: TIMEOUT_MS });
  return stdout.replaceAll("\r", "");
}

/** Debian's kernel, from the package that the other one depends on; nothing is installed. */
async function fetchKernel(directory: string): Promise<string> {
  const depends = await must(["apt-cache", "depends", KERNEL]);
  const name = /Depends: (linux-image-\S+)/.exec(depends)?.[1] ?? KERNEL;
  await must(["apt-get", "-qq", "download", name], directory);
  await must(["sh", "-c", "dpkg -x *.deb kernel && rm *.deb"], directory);
  const files = [...Deno.readDirSync(`${directory}/kernel/boot`)].map((file) => file.name);
  const image = files.find((file) => file.startsWith("vmlinuz-"));
  if (image === undefined) throw new Error(`${name} holds no kernel`);
  return `${directory}/kernel/boot/${image}`;
}

/** The first process moves everything to a tmpfs: pivot_root(2) does not work on an initramfs. */
const INIT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t tmpfs -o size=900m none /newroot
for each in /*; do [ $each = /newroot ] || cp -a $each /newroot/; done
exec switch_root /newroot /bin/sh /script
`;

const PRELUDE = `
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
mkdir -p /dev/pts; mount -t devpts devpts /dev/pts
mount -t tmpfs run /run; mount -t tmpfs tmp /tmp; mount -t cgroup2 none /sys/fs/cgroup
`;

async function fillRoot(root: string, script: string): Promise<void> {
  const places = ["bin", "dev", "etc", "newroot", "proc", "root", "run", "sys", "tmp"];
  const container = ["bin", "dev", "proc", "sys/fs/cgroup", "tmp"].map((name) => `rootfs/${name}`);
  for (const place of [...places, "var/cache", ...container]) {
    Deno.mkdirSync(`${root}/${place}`, { recursive: true });
  }
  const { stdout } = await capture(["/bin/busybox", "--list"]);
  for (const bin of ["bin", "rootfs/bin"]) {
    Deno.copyFileSync("/bin/busybox", `${root}/${bin}/busybox`);
  }
  for (const applet of stdout.trim().split("\n")) {
    if (applet !== "busybox") Deno.symlinkSync("busybox", `${root}/rootfs/bin/${applet}`);
  }
  Deno.copyFileSync(belayPath, `${root}/bin/belay`);
  const deno = isLauncher
    ? /\[ -x '([^']+)' \]/.exec(Deno.readTextFileSync(belayPath))?.[1]
    : undefined;
  const binary = deno ?? belayPath;
  if (deno !== undefined) copyTo(root, deno);
  for (const library of (await must(["ldd", binary])).matchAll(/(\/\S+) \(0x/g)) {
    copyTo(root, library[1] ?? "");
  }
  Deno.writeTextFileSync(`${root}/init`, INIT, { mode: 0o755 });
  Deno.writeTextFileSync(`${root}/script`, `${PRELUDE}${script}\npoweroff -f\n`);
}

function copyTo(root: string, path: string): void {
  Deno.mkdirSync(`${root}${path.slice(0, path.lastIndexOf("/"))}`, { recursive: true });
  Deno.copyFileSync(path, `${root}${path}`);
}

async function must(command: readonly string[], cwd?: string): Promise<string> {
  const { code, stdout, stderr } = await capture(command, cwd === undefined ? {} : { cwd });
  if (code !== 0) throw new Error(`${command.join(" ")}: ${stderr}`);
  return stdout;
}
