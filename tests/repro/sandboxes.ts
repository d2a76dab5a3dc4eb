// Network namespaces as a container engine makes them for sandboxes, the classic way of wiring a VMM there, and what is
// left of it, counted by `ip` and `tc`.
import { CLONE } from "../../ffi/abi/process_flags.ts";
import type { Remote } from "../../ffi/remote.ts";
import { SIGNAL } from "../../ffi/abi/signals.ts";
import { Host } from "../../ffi/host.ts";
import { AT_FDCWD, O } from "../../ffi/abi/file_flags.ts";
import { close, openat } from "../../ffi/syscalls/file.ts";
import { setns } from "../../ffi/syscalls/namespace.ts";
import { IFF, openTun, tunSetIff } from "../../ffi/syscalls/tun.ts";
import { capture, mustRun } from "../../scripts/step.ts";

/** The carriers of the jobs. */
export const host = new Host("/tmp");

/** What jobs with sandboxes need beside `ip` and `tc`. */
export const SANDBOX_NEEDS = { "iputils-ping": "asks whether eth0 still answers" };

/** A published network namespace with an eth0, whose other end is where the job is. */
export interface Sandbox {
  readonly name: string;
  readonly path: string;
  /** eth0's address. */
  readonly address: string;
}

/** Makes sandboxes `${prefix}0`, `${prefix}1`, ...: at most 250 with one number. */
export async function makeSandboxes(
  prefix: string,
  net: number,
  count: number,
): Promise<Sandbox[]> {
  const all = Array.from({ length: count }, (_, i) => ({
    name: `${prefix}${i}`,
    path: `/run/netns/${prefix}${i}`,
    address: `10.${net}.${i}.2`,
  }));
  const lines: string[] = all.flatMap(({ name }, i) => [
    `netns add ${name}`,
    `link add ${name} type veth peer name eth0 netns ${name}`,
    `address add 10.${net}.${i}.1/24 dev ${name}`,
    `link set ${name} up`,
  ]);
  await batch([], lines);
  for (const { name, address } of all) {
    await batch(["-n", name], [
      "link set lo up",
      `address add ${address}/24 dev eth0`,
      "link set eth0 up",
    ]);
  }
  return all;
}

/** Removes sandboxes, and with them everything that is in them. */
export async function removeSandboxes(sandboxes: readonly Sandbox[]): Promise<void> {
  await batch([], sandboxes.map(({ name }) => `netns delete ${name}`));
}

/** Several commands of `ip` or `tc` by one process. */
async function batch(options: string[], lines: readonly string[], program = "ip"): Promise<void> {
  const child = new Deno.Command(program, {
    args: [...options, "-batch", "-"],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(lines.join("\n") + "\n"));
  await writer.close();
  const { code, stderr } = await child.output();
  if (code !== 0) throw new Error(`${program}: ${new TextDecoder().decode(stderr)}`);
}

/** How many of the sandboxes' eth0 do not answer. @param seconds How long each may take. */
export async function deaf(sandboxes: readonly Sandbox[], seconds: number): Promise<number> {
  const codes = await Promise.all(sandboxes.map(async ({ address }) => {
    return (await capture(["ping", "-q", "-c", "1", "-w", String(seconds), address])).code;
  }));
  return codes.filter((code) => code !== 0).length;
}

/** The classic wiring, as urunc does it: a TAP that stays, ingress qdiscs, u32 filters with mirred both ways. */
export async function wireNaively({ name }: Sandbox, tap: string): Promise<void> {
  await batch(["-n", name], [`tuntap add dev ${tap} mode tap`, `link set ${tap} up`]);
  // The second TAP of a namespace finds the qdisc there ("Exclusivity flag on"), which urunc takes for success.
  await capture(["tc", "-n", name, "qdisc", "add", "dev", "eth0", "ingress"]);
  const redirect = "protocol all u32 match u8 0 0 action mirred egress redirect dev";
  await batch(["-n", name], [
    `qdisc add dev ${tap} ingress`,
    `filter add dev eth0 parent ffff: ${redirect} ${tap}`,
    `filter add dev ${tap} parent ffff: ${redirect} eth0`,
  ], "tc");
}

/** The classic cleanup. @throws Error of the first command that fails, which the rest is not made after. */
export async function unwireNaively({ name }: Sandbox, tap: string): Promise<void> {
  await mustRun(["tc", "-n", name, "qdisc", "del", "dev", "eth0", "ingress"]);
  await mustRun(["ip", "-n", name, "link", "del", tap]);
}

/** What is left in sandboxes, by `ip` and `tc`. */
export interface Leftovers {
  readonly taps: number;
  readonly qdiscs: number;
  readonly filters: number;
}

/** Counts, until nothing is left or what dies has had its time: a link goes some time after its last descriptor. */
export async function leftovers(sandboxes: readonly Sandbox[], patienceMs = 0): Promise<Leftovers> {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const counted = await count(sandboxes);
    const sum = counted.taps + counted.qdiscs + counted.filters;
    if (sum === 0 || performance.now() > deadline) return counted;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function count(sandboxes: readonly Sandbox[]): Promise<Leftovers> {
  const sum = { taps: 0, qdiscs: 0, filters: 0 };
  for (const { name } of sandboxes) {
    const taps = JSON.parse(await mustRun(["ip", "-n", name, "-json", "tuntap", "show"]) || "[]");
    const qdiscs = JSON.parse(await mustRun(["tc", "-n", name, "-json", "qdisc", "show"]));
    const ingress: { dev: string }[] = qdiscs.filter(({ kind }: { kind: string }) =>
      kind === "ingress"
    );
    sum.taps += taps.length;
    sum.qdiscs += ingress.length;
    for (const { dev } of ingress) {
      const filters = await mustRun([
        "tc",
        "-n",
        name,
        "filter",
        "show",
        "dev",
        dev,
        "parent",
        "ffff:",
      ]);
      sum.filters += filters.match(/mirred \(Egress Redirect to/g)?.length ?? 0;
    }
  }
  return sum;
}

/** A process that has the TAP open by its name, as a VMM has it. */
export function naiveVmm({ path }: Sandbox, tap: string): Remote {
  const vmm = host.spawn("vmm");
  const opened = openat(AT_FDCWD, path, O.O_RDONLY);
  vmm.batch([opened, setns(opened, CLONE.CLONE_NEWNET), close(opened)]);
  const tun = openTun();
  vmm.batch([tun, tunSetIff(tun, tap, IFF.IFF_TAP | IFF.IFF_NO_PI)]);
  return vmm;
}

/** The end of a VMM by SIGKILL, somebody else's; reaped, as its parent does it at once. */
export function crash(vmm: Remote): void {
  vmm.pidfd.signal(SIGNAL.SIGKILL);
  vmm.pidfd.reap();
  vmm[Symbol.dispose]();
}
