// Bundles with hooks.
import type { AnySpec, World } from "./world.ts";

/** The six kinds, in the order of the lifecycle. */
export const KINDS = [
  "prestart",
  "createRuntime",
  "createContainer",
  "startContainer",
  "poststart",
  "poststop",
] as const;
/** One of them. */
export type Kind = typeof KINDS[number];

/** A hook that is a shell script. */
export function shell(script: string, more: Record<string, unknown> = {}): AnySpec {
  return { path: "/bin/sh", args: ["sh", "-c", script], env: ["PATH=/bin:/usr/bin"], ...more };
}

/** A bundle in which /out is the world's directory. Before the pivot that is still the host's path. */
export function bundleWith(
  world: World,
  hooks: Partial<Record<Kind, readonly AnySpec[]>>,
  args: readonly string[] = ["true"],
  more: (spec: AnySpec) => void = () => {},
): Promise<string> {
  return world.bundle({
    args,
    writable: true,
    config: (spec) => {
      spec.hooks = hooks;
      spec.mounts.push({ destination: "/out", type: "bind", source: world.dir, options: ["bind"] });
      more(spec);
    },
  });
}

/** Where a hook of that kind finds the world's directory: startContainer has pivoted. */
export function outOf(world: World, kind: Kind): string {
  return kind === "startContainer" ? "/out" : world.dir;
}

/** What a hook wrote there. */
export function read(world: World, name: string): string {
  return Deno.readTextFileSync(`${world.dir}/${name}`);
}
