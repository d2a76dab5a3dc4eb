// config.json as clients write it: captured from docker 20.10, podman 4.3, buildah 1.28 and containerd 1.6 (Debian 12).

// deno-lint-ignore no-explicit-any -- JSON that is looked into and damaged
export type AnyJson = any;

const CLIENTS = ["docker", "podman", "buildah", "containerd"] as const;

/** The texts, by client. */
export const REAL_CONFIGS: ReadonlyMap<string, string> = new Map(CLIENTS.map((client) => {
  const file = new URL(`unit/testdata/config-${client}.json`, import.meta.url);
  return [client, Deno.readTextFileSync(file)];
}));

/**
 * One of them as far as it can be had anywhere: without hooks and mounts of files that this machine has not, with
 * new namespaces, a cgroup of belay's choice, and another root file system.
 */
export function realSpec(client: string, rootfs: string): AnyJson {
  const spec: AnyJson = JSON.parse(REAL_CONFIGS.get(client) ?? "");
  delete spec.hooks;
  delete spec.linux.cgroupsPath;
  for (const namespace of spec.linux.namespaces) delete namespace.path;
  spec.mounts = spec.mounts.filter(({ type }: AnyJson) => type !== "bind");
  spec.root = { path: rootfs, readonly: true };
  return spec;
}
