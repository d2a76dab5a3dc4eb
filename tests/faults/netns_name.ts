import { Host } from "../../ffi/host.ts";
import { AT, AT_FDCWD, O } from "../../ffi/abi/file_flags.ts";
import { CLONE } from "../../ffi/abi/process_flags.ts";
import { attempt } from "../../ffi/call.ts";
import type { Remote } from "../../ffi/remote.ts";
import { close, openat, unlinkat } from "../../ffi/syscalls/file.ts";
import { MNT_DETACH, umount2 } from "../../ffi/syscalls/mount.ts";
import { setns } from "../../ffi/syscalls/namespace.ts";
import { repairNetns } from "../../runtime/netns/repair_netns.ts";
import { NETNS_DIR } from "../../runtime/netns/netns_directory.ts";
import type { Hit } from "./injector.ts";
import type { Names, NetnsStep } from "./scenarios.ts";
import { Subject } from "./subject.ts";

/** As many names as `--count` makes here. */
const COUNT = 3;

/** The names of one walk, in a /run of its own. */
export class NetnsName extends Subject {
  readonly name: string;
  readonly warmUp = "netns add";
  readonly #thread;
  /** A process in the namespace. */
  #inside: Remote | undefined;

  constructor(private readonly names: Names) {
    super(names);
    this.name = names.mark;
    this.#thread = new Host(this.root).thread;
  }

  protected override command(step: NetnsStep): string[] {
    switch (step) {
      case "netns add":
        return ["netns", "add", this.name];
      case "netns add --count":
        return ["netns", "add", "--count", String(COUNT), this.name];
      case "netns add --veth":
        return ["netns", "add", "--veth", this.name, "--address", "192.0.2.1/24", this.name];
      case "netns delete":
        return ["netns", "delete", this.name];
      case "netns exec":
        return ["netns", "exec", this.name, "/bin/busybox", "true"];
      case "netns identify":
        return ["netns", "identify", String(this.#inside?.pidfd.pid)];
      case "netns repair":
        return ["netns", "repair"];
    }
  }

  /** A shell's, for a program that cannot be executed. */
  override failureCode(hit: Hit | undefined): number | undefined {
    return hit?.call === "execve" ? 126 : undefined;
  }

  /** @inheritdoc */
  override async prepare(step: NetnsStep): Promise<void> {
    if (step.startsWith("netns add")) return;
    const { code, message } = await this.run("netns add");
    if (code !== 0) throw new Error(`netns add, without a fault: ${message}`);
    // What an add leaves that is killed between its two last calls.
    if (step === "netns repair") this.#unmount(`${NETNS_DIR}/${this.name}`);
    if (step === "netns identify") this.#enter();
  }

  #enter(): void {
    const inside = new Host(this.names.home).spawn("inside");
    const named = openat(AT_FDCWD, `${NETNS_DIR}/${this.name}`, O.O_RDONLY);
    inside.batch([named, setns(named, CLONE.CLONE_NEWNET), close(named)]);
    this.#inside = inside;
  }

  #leave(): void {
    this.#inside?.[Symbol.dispose]();
    this.#inside?.pidfd.reap();
    this.#inside?.pidfd[Symbol.dispose]();
    this.#inside = undefined;
  }

  /** @inheritdoc */
  override worked(step: NetnsStep, printed: string): string[] {
    if (step === "netns identify" && printed !== `${this.name}\n`) {
      return [`netns identify succeeded, and told ${JSON.stringify(printed)}`];
    }
    const wanted = step === "netns add --count"
      ? Array.from({ length: COUNT }, (_, i) => `${this.name}${i + 1}`)
      : step.startsWith("netns add") || step === "netns exec" || step === "netns identify"
      ? [this.name]
      : [];
    const { entries, mounted } = this.#look();
    const is = JSON.stringify([entries, mounted]);
    return is === JSON.stringify([wanted, wanted]) ? [] : [`${step} succeeded, and there is ${is}`];
  }

  /** @inheritdoc */
  override failed(step: NetnsStep, message: string): string[] {
    const { entries } = this.#look();
    const left = step.startsWith("netns add") && entries.length > 0;
    return left ? [`${step} failed, and left ${entries}: ${message}`] : [];
  }

  /** Every name has a namespace, or `repair` says that it has not, and takes it away. */
  override async cleanUp(): Promise<string[]> {
    this.#leave();
    const problems: string[] = [];
    const { entries, mounted, directories } = this.#look();
    if (directories > 1) problems.push(`${directories} mounts on the directory`);
    const doubled = mounted.filter((name, i) => mounted.indexOf(name) !== i);
    if (doubled.length > 0) problems.push(`mounted more than once: ${doubled}`);
    const bare = entries.filter((name) => !mounted.includes(name));
    const repaired = repairNetns(this.#thread, new Date(), false).filter((each) => each.repaired)
      .map(({ name }) => name);
    if (String(repaired) !== String(bare)) {
      problems.push(`without a namespace: ${bare}; repaired: ${repaired}`);
    }
    for (const name of mounted) {
      const { code, message } = await this.#delete(name);
      if (code !== 0) problems.push(`netns delete ${name}: ${message}`);
    }
    const left = this.#look().entries;
    if (left.length > 0) problems.push(`left: ${left}`);
    // The next one finds a fresh system again.
    this.#unmount(NETNS_DIR);
    this.#thread.call(attempt(unlinkat(AT_FDCWD, NETNS_DIR, AT.AT_REMOVEDIR)));
    return problems;
  }

  async #delete(name: string) {
    const { main } = await import("../../main.ts");
    const code = await main([...this.args("netns delete").slice(0, -1), name]);
    return { code, message: this.log() };
  }

  #unmount(path: string): void {
    this.#thread.call(attempt(umount2(path, MNT_DETACH)));
  }

  #look(): { entries: string[]; mounted: string[]; directories: number } {
    const points = Deno.readTextFileSync("/proc/self/mountinfo").split("\n")
      .map((line) => line.split(" ")[4] ?? "");
    return {
      entries: namesIn(NETNS_DIR),
      mounted: points.filter((point) => point.startsWith(`${NETNS_DIR}/`))
        .map((point) => point.slice(NETNS_DIR.length + 1)).sort(),
      directories: points.filter((point) => point === NETNS_DIR).length,
    };
  }
}

function namesIn(path: string): string[] {
  try {
    return [...Deno.readDirSync(path)].map(({ name }) => name).sort();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}
