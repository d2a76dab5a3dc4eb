import { Host } from "../../ffi/host.ts";
import { attempt } from "../../ffi/call.ts";
import { AT_FDCWD } from "../../ffi/abi/file_flags.ts";
import { unlinkat } from "../../ffi/syscalls/file.ts";
import { MNT_DETACH, umount2 } from "../../ffi/syscalls/mount.ts";
import type { Hit } from "./injector.ts";
import type { Names, UsernsStep } from "./scenarios.ts";
import { Subject } from "./subject.ts";

const MAPS = ["--uid-map", "0:100000:65536", "--gid-map", "0:100000:65536"];

/** What is at the path: nothing, an empty file, or a user namespace. */
type Pin = "nothing" | "file" | "namespace" | "something else";

/** One path at which user namespaces are pinned, and commands that run in one. */
export class UsernsPin extends Subject {
  readonly path: string;
  readonly warmUp = "userns new --";
  readonly #thread;

  constructor(names: Names) {
    super(names);
    this.path = `${names.home}/${names.mark}`;
    this.#thread = new Host(this.root).thread;
  }

  protected override command(step: UsernsStep): string[] {
    const what = step === "userns new --" ? ["--", "/bin/busybox", "true"] : ["--name", this.path];
    return ["userns", "new", ...MAPS, ...what];
  }

  /** The second kind of pinning finds the file that a killed one leaves. */
  override prepare(step: UsernsStep): Promise<void> {
    if (step === "userns new --name FILE") Deno.writeTextFileSync(this.path, "");
    return Promise.resolve();
  }

  /** @inheritdoc */
  override worked(step: UsernsStep): string[] {
    const wanted = step === "userns new --" ? "nothing" : "namespace";
    const is = this.#look();
    return is === wanted ? [] : [`${step} succeeded, and at the path is ${is}`];
  }

  /** A shell's, for a command that cannot be executed. */
  override failureCode(hit: Hit | undefined): number | undefined {
    return hit?.call === "execve" ? 126 : undefined;
  }

  /** @inheritdoc */
  override failed(step: UsernsStep, message: string): string[] {
    const wanted = step === "userns new --name FILE" ? "file" : "nothing";
    const is = this.#look();
    return is === wanted ? [] : [`${step} failed, and left ${is}: ${message}`];
  }

  /** Whatever was left, the same command makes a whole thing of it; then it goes as the documentation says. */
  override async cleanUp(): Promise<string[]> {
    const problems: string[] = [];
    if (this.#look() === "file") {
      const { code, message } = await this.run("userns new --name");
      if (code !== 0) problems.push(`a file is left, which cannot be used: ${message}`);
    }
    const is = this.#look();
    if (is !== "nothing" && is !== "namespace") problems.push(`left: ${is}`);
    this.#thread.call(attempt(umount2(this.path, MNT_DETACH)));
    this.#thread.call(attempt(unlinkat(AT_FDCWD, this.path)));
    return problems;
  }

  #look(): Pin {
    const mounted = Deno.readTextFileSync("/proc/self/mountinfo").split("\n")
      .filter((line) => line.split(" ")[4] === this.path);
    if (mounted.length > 0) {
      return mounted.length === 1 && / user:\[\d+\] /.test(mounted[0] ?? "")
        ? "namespace"
        : "something else";
    }
    try {
      return Deno.lstatSync(this.path).size === 0 ? "file" : "something else";
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return "nothing";
      throw error;
    }
  }
}
