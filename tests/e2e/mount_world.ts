// What the tests of mounts have in common.
import { assertEquals } from "@std/assert";
import type { Bundle } from "./contained.ts";
import { belayPath } from "./world.ts";

/** A mount as /proc/self/mountinfo of the container shows it. */
export interface Shown {
  readonly point: string;
  readonly options: readonly string[];
  /** `shared:1`, `master:2`, `unbindable`, ... */
  readonly propagation: string;
  readonly type: string;
  readonly superOptions: readonly string[];
}

/** Reads a mountinfo, or lines of one. */
export function parseMounts(text: string): Shown[] {
  return text.split("\n").filter((line) => line.includes(" - ")).map((line) => {
    const [before = "", after = ""] = line.split(" - ");
    const [, , , , point = "", options = "", ...propagation] = before.split(" ");
    const [type = "", , superOptions = ""] = after.split(" ");
    return {
      ...{ point, type, propagation: propagation.join(" ") },
      ...{ options: options.split(","), superOptions: superOptions.split(",") },
    };
  });
}

/** The mounts of a container that has this configuration, the topmost at each point. */
export async function mounts(bundle: Bundle): Promise<Map<string, Shown>> {
  const text = await bundle.ok("cat /proc/self/mountinfo");
  return new Map(parseMounts(text).map((each) => [each.point, each]));
}

/** Gives the process capabilities. */
export function may(bundle: Bundle, ...names: string[]): void {
  bundle.config.process.capabilities = { bounding: names, permitted: names, effective: names };
}

/** A directory on the host with a file in it. */
export function source(bundle: Bundle, name = "src"): string {
  const path = `${bundle.host}/${name}`;
  Deno.mkdirSync(path, { recursive: true });
  Deno.writeTextFileSync(`${path}/file`, `${name}\n`);
  return path;
}

/** Runs a script in a mount namespace of the test's own, where it may mount what it likes; `belay` is there. */
export async function inMounts(bundle: Bundle, script: string): Promise<string> {
  const { world, path, id } = bundle;
  const whole = `set -e\nbelay() { "$BELAY" --root "$ROOT" "$@"; }\n${script}`;
  const { code, stdout, stderr } = await world.start(
    ["unshare", "-m", "bash", "-c", whole, "bash", path, id, bundle.host],
    { env: { BELAY: belayPath, ROOT: world.root } },
  ).ended;
  assertEquals(code, 0, `${stdout}${stderr}`);
  return stdout.trimEnd();
}
